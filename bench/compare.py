#!/usr/bin/env python3
"""Times hashlab beside PyTorch, numpy and faiss on the same work and prints one table.

Two processes take turns, A B A B, each repetition half a second or longer. What else the machine does slows both of a
pair, so the median of the pairs' ratios holds where times do not. Where a peer has several ways to do the work,
the fastest is found first and compared with. Needs nothing but the standard library.
"""

import argparse
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import overhead

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
WORK = TARGET / "bench"
CAPS = {  # the names that PyTorch's own kernels and its library have for a set; where they have none, they choose
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "avx512": {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "amx": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"},
}
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Row:
    """A line of the table: our workload, and the ways to do the same in PyTorch, by name."""

    work: str
    threads: int
    ours: list
    peers: dict
    target: float
    gflop: float = 0.0  # per iteration
    unit: str = "ms"
    whole: bool = False  # only with --whole
    exact: bool = False  # whether both sides must find the same number
    files: list = field(default_factory=list)  # our workload that writes what the peers read, in place of `prepare`


@dataclass
class Sweep:
    """A line of the table: a whole program that runs an experiment, and a script that does the same runs."""

    work: str
    experiment: pathlib.Path
    program: str
    folder: pathlib.Path  # of our runs, and of the features for both sides
    places: list
    settings: list = field(default_factory=list)

    @property
    def runs(self):
        return self.folder / "sweep-runs"

    def is_prepared(self):
        return (self.folder / "features" / "database.npy").exists()

    def ours(self, options):
        """Our program and where it finds and puts what."""
        return [options.binaries / self.program, *self.places, "--runs", self.runs]


def ways(script, *args, names):
    return {name: [script, *args, name] for name in names}


def conv_row(channels, size, threads):
    gflop = 3 * 2 * 32 * size**2 * channels**2 * 9 / 1e9
    peers = ways("conv.py", channels, size, names=["nchw", "channels_last"])
    name = f"convolution {channels}→{channels} at {size}², forward and backward, batch 32"
    return Row(name, threads, ["conv", channels, size], peers, 1.5, gflop)


def forward_row(title, name, size, batch, gflop_per_image, target, threads):
    peers = ways("forward.py", name, size, batch, names=["nchw", "channels_last", "jit", "channels_last+jit"])
    work = f"{title} forward, {size} px, batch {batch}"
    return Row(work, threads, ["forward", name, size, batch], peers, target, batch * gflop_per_image)


def finetune_row(title, name, size, batch, gflop_per_image, target, threads):
    peers = ways("finetune.py", name, size, batch, names=["nchw", "channels_last", "nchw+fused", "channels_last+fused"])
    work = f"{title} fine-tuned, frozen norms, Adam, {size} px, batch {batch}"
    return Row(work, threads, ["finetune", name, size, batch], peers, target, 3 * batch * gflop_per_image)


def text_row(threads):
    gflop = 32 * 32 * 6 * 2 * (4 * 384**2 + 2 * 384 * 1536 + 2 * 32 * 384) / 1e9
    peers = ways("text.py", 32, 32, names=["eager", "fused", "jit", "fast_path"])
    return Row("MiniLM-L6 forward, 32×32 tokens", threads, ["text", 32, 32], peers, 0.9, gflop)


def head_row(dim, target):
    gflop = 2 * 128 * (2 * dim * 1024 + 3 * 1024 * 64) / 1e9
    peers = ways("head.py", dim, names=["eager"])
    return Row(f"head step, {dim}→1024→64, batch 128", 1, ["head", dim], peers, target, gflop)


def run_row(epochs, whole):
    work = f"CIBHash run, {epochs} epochs, stored features"
    return Row(work, 1, ["run", WORK, epochs], {"": ["run.py", WORK, epochs]}, 0.6, unit="s", whole=whole)


def ranking_row(title, names, target):
    work = f"mAP@1000 of 1,000 × 50,000 codes, {title}"
    return Row(work, 1, ["ranking", WORK], ways("ranking.py", WORK, names=names), target, exact=True)


def metrics_rows(queries, items, bits, several, threads, targets):
    """Every metric and curve, beside mAP@1000 alone in numpy's loop and beside faiss's search alone."""
    labels = "81 labels" if several else "10 classes"
    folder = WORK / f"metrics_{queries}_{items}_{bits}_{labels.split()[0]}"
    flags = ["--several"] if several else []
    files = ["metrics-files", folder, queries, items, bits, *flags]
    for way, target in targets.items():
        work = f"all metrics of {queries:,} × {items:,} ranking, {bits} bits, {labels}, {way}"
        peers = ways("metrics.py", folder, bits, names=[way])
        yield Row(work, threads, ["metrics", queries, items, bits, *flags], peers, target, exact=way == "loop", files=files)


def streamed_row(queries, items, bits, threads):
    """As one of `metrics_rows`, with our database in a file, and faiss's in memory."""
    (row,) = metrics_rows(queries, items, bits, False, threads, {"faiss": 1 / 6})
    row.work = row.work.replace("faiss", "streamed, faiss in memory")
    row.ours += ["--streamed", WORK / "streamed.u8"]
    return row


def rows():
    both = (1, 2)
    yield from (Row("matrix product 1024³", t, ["matmul", 1024], {"": ["matmul.py", 1024]}, 1.0, 2.147) for t in both)
    yield from (head_row(512, 0.75), head_row(4096, 0.8))
    yield from (conv_row(64, 32, t) for t in both)
    yield from (conv_row(256, 8, t) for t in both)
    yield from (forward_row("MobileNetV2", "mobilenet_v2", 128, 32, 0.196, 0.5, t) for t in both)
    yield from (forward_row("ResNet-18", "resnet18", 64, 32, 0.296, 1.0, t) for t in both)
    yield from (forward_row("ResNet-18", "resnet18", 224, 32, 3.63, 1.0, t) for t in both)
    yield from (finetune_row("ResNet-18", "resnet18", 64, 32, 0.296, 1.0, t) for t in both)
    yield from (forward_row("ResNet-50", "resnet50", 224, 8, 8.18, 1.0, t) for t in both)
    yield from (forward_row("VGG16", "vgg16", 224, 8, 30.9, 0.8, t) for t in both)
    yield from (text_row(t) for t in both)
    augment = ways("augment.py", WORK, names=["pil", "v2"])
    yield Row("PNG to augmented view, 128 px, per image", 2, ["augment", WORK], augment, 0.25)
    photos = ways("photos.py", WORK, names=["pil", "v2"])
    yield Row("JPEG files of 500×375 to 224 px, per image", 2, ["photos", WORK], photos, 0.5)
    yield ranking_row("numpy and PyTorch", ["partition", "topk", "radix"], 0.2)
    yield ranking_row("faiss", ["faiss"], 0.15)
    yield ranking_row("as in repositories", ["repository"], 0.03)
    yield from metrics_rows(10_000, 50_000, 64, False, 2, {"loop": 1 / 25, "faiss": 1 / 6})
    yield from metrics_rows(10_000, 50_000, 128, True, 2, {"loop": 1 / 25, "faiss": 1 / 6})
    yield from metrics_rows(1_000, 10_000_000, 64, False, 2, {"faiss": 1 / 6})
    yield streamed_row(1_000, 10_000_000, 64, 2)
    yield from (run_row(20, whole=False), run_row(80, whole=True))


def sweeps(options):
    """The second needs CIFAR-10, and is measured only if it is named."""
    places = ["--data-dir", WORK, "--cache-dir", WORK / "cache"]
    yield Sweep("sweep of CIBHash", ROOT / "bench" / "sweep.toml", "hashlab-synthetic", WORK, places)
    settings = ["--set", "seeds=[0]", *(word for setting in options.set for word in ("--set", setting))]
    if "cifar10" in options.rows:
        experiment, places = ROOT / "experiments" / "cifar10.toml", ["--cache-dir", ROOT / "runs" / "cache"]
        yield Sweep("sweep of one seed of cifar10.toml", experiment, "hashlab", WORK / "cifar10", places, settings)


@dataclass
class Extraction:
    """A line of the table: `hashlab features` of a folder or file of photos, and torchvision's loader and network."""

    source: pathlib.Path
    data: list  # our settings
    folder = WORK / "extraction"

    @property
    def work(self):
        return f"extraction of 2,000 JPEG images at 224 px, {self.source.name}"

    def ours(self, options):
        """Our program without what it found before."""
        settings = [word for setting in self.data for word in ("--set", setting)]
        runs = self.folder / "runs"
        places = ["--data-dir", WORK, "--runs", runs, "--cache-dir", runs / "cache", "--out", self.folder / "features"]
        return [options.binaries / "hashlab", "features", ROOT / "bench" / "extraction.toml", *settings, *places]

    def peer(self, options, way):
        return [options.python, PEERS / "extraction.py", self.source, self.folder / "features.npy", way]


def extractions():
    folder, file = Extraction.folder / "photos", Extraction.folder / "photos.parquet"
    yield Extraction(folder, [f'data.dir="{folder}"', "data.queries=100"])
    columns = ['data.image="image"', 'data.labels=["label"]', "data.queries=100"]
    yield Extraction(file, ['dataset="parquet"', f'data.files="{file}"', *columns])


class Server:
    """A process that does work when told to; `ours` or a script of `peers/`."""

    def __init__(self, command, threads):
        env = dict(os.environ, **{name: str(threads) for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS")})
        self.command = list(map(str, command))
        self.process = subprocess.Popen(
            self.command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.read()
        self.seconds = self.work(1)[0]  # the first iteration warms up
        self.iterations = 1

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(self.command)} ended:\n{self.process.stderr.read()}")
        return line

    def work(self, iterations):
        """Returns seconds per iteration, processor seconds per iteration, and the value found."""
        before = processor_seconds(self.process.pid)
        self.process.stdin.write(f"{iterations}\n")
        self.process.stdin.flush()
        seconds, value = map(float, self.read().split())
        used = processor_seconds(self.process.pid) - before
        return seconds / iterations, used / iterations, value

    def calibrate(self, least):
        """Finds how many iterations take about `least` seconds. Of long ones, the first says enough."""
        while self.seconds < 10 * least:
            self.seconds = self.work(self.iterations)[0]
            if self.seconds * self.iterations >= least / 2:
                break
            self.iterations *= 4
        self.iterations = max(1, round(least / self.seconds))

    def repeat(self):
        return self.work(self.iterations)

    def memory(self):
        """The largest resident size so far, in MiB; 0 where the system does not say."""
        try:
            lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return 0.0
        return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.stderr.close()
        self.process.wait()


def processor_seconds(pid):
    """Seconds that a process and its living children have computed; 0 where the system does not say."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS + sum(processor_seconds(child) for child in children)


@dataclass
class Result:
    """What the pairs of a row gave."""

    row: Row
    peer: str
    pairs: list = field(default_factory=list)  # ((seconds, processor seconds, value) of ours, the same of the peer)

    def seconds(self, side):
        return statistics.median(pair[side][0] for pair in self.pairs)

    def ratios(self, quantity):
        return sorted(ours[quantity] / peer[quantity] for ours, peer in self.pairs if peer[quantity] > 0)

    def cells(self):
        scale = 1 if self.row.unit == "s" else 1e3
        ratios, processor = self.ratios(0), self.ratios(1)
        spread = f"{ratios[len(ratios) // 4]:.2f}–{ratios[-1 - len(ratios) // 4]:.2f}"
        rate = f"{self.row.gflop / self.seconds(0):.0f}" if self.row.gflop else ""
        return [
            self.row.work,
            str(self.row.threads),
            f"{self.seconds(0) * scale:.3g} {self.row.unit}",
            f"{self.seconds(1) * scale:.3g} {self.row.unit}",
            self.peer,
            f"**{statistics.median(ratios):.2f}**",
            spread,
            f"{statistics.median(processor):.2f}" if processor else "",
            f"{self.row.target:.2g}",
            rate,
        ]


HEADER = ["work", "threads", "hashlab", "peer", "way", "ratio", "quartiles", "CPU ratio", "target", "GFLOP/s"]


def measure(row, options):
    """Lets our process and the fastest peer take turns."""
    if row.files and not row.files[1].exists():
        WORK.mkdir(parents=True, exist_ok=True)
        run([options.binaries / "hashlab-bench", *row.files])
    ours = Server([options.binaries / "hashlab-bench", *row.ours], row.threads)
    name, peer = fastest(row, options)
    for side in (ours, peer):
        side.calibrate(options.seconds)
    result = Result(row, name)
    pairs = options.pairs if max(ours.seconds, peer.seconds) < 10 else min(options.pairs, 3)
    for _ in range(pairs):
        result.pairs.append((ours.repeat(), peer.repeat()))
    note(f"  largest resident size: hashlab {ours.memory():.0f} MiB, peer {peer.memory():.0f} MiB")
    ours.stop()
    peer.stop()
    check(result)
    note(f"  ratio {statistics.median(result.ratios(0)):.2f}, of processor time {statistics.median(result.ratios(1)):.2f}")
    return result


def fastest(row, options):
    """Starts every peer, keeps the fastest."""
    best = None
    for name, (script, *args) in row.peers.items():
        server = Server([options.python, PEERS / script, row.threads, *args], row.threads)
        if len(row.peers) > 1:
            server.calibrate(options.seconds)
            server.seconds = min(server.repeat()[0] for _ in range(3))
        if best and best[1].seconds <= server.seconds:
            server.stop()
            continue
        if best:
            best[1].stop()
        best = name, server
    return best


def check(result):
    """Both sides must have found the same, where they must."""
    ours, peer = (result.pairs[-1][side][2] for side in (0, 1))
    if result.row.exact and not math.isclose(ours, peer, rel_tol=1e-6):
        sys.exit(f"{result.row.work}: hashlab found {ours}, the peer {peer}")
    if not math.isnan(ours):
        note(f"  value: hashlab {ours:.4f}, peer {peer:.4f}")


def measure_sweep(sweep, options):
    """Times whole programs: `hashlab sweep`, and a script that loads the features once and forks."""
    if options.set or not sweep.is_prepared():
        note("  preparing features")
        prepare_features(sweep, options)
    ours = [*sweep.ours(options), "sweep", sweep.experiment, *sweep.settings, "--jobs", "2"]
    peer = [options.python, PEERS / "sweep.py", 2, sweep.folder / "features", sweep.runs]
    pairs = []
    for _ in range(min(options.pairs, 3)):
        shutil.rmtree(sweep.runs, ignore_errors=True)
        pairs.append(((*timed(ours)[:2], math.nan), (*timed(peer)[:2], math.nan)))
    count = len(list(sweep.runs.rglob("config.json")))
    result = Result(Row(f"{sweep.work}: {count} runs, two at once", 2, [], {}, 0.5, unit="s"), "forked", pairs)
    for side, name in enumerate(["hashlab", "PyTorch"]):
        note(f"  {name}: {3600 * count / result.seconds(side):.0f} runs per hour")
    return result


def measure_extraction(row, options):
    """Times whole programs; of the peer, what it does after its imports and the preparation of its network."""
    def ours():
        shutil.rmtree(row.folder / "runs", ignore_errors=True)
        return timed(row.ours(options), threads=2)

    def peer(way):
        _, _, out = timed(row.peer(options, way), threads=2)
        return (*map(float, out.split()), math.nan)

    if not (row.folder / "photos.parquet").exists():  # written last
        shutil.rmtree(row.folder, ignore_errors=True)
        run([options.python, PEERS / "extraction.py", "prepare", WORK / "photos", row.folder])
    ways = [f"{workers}+{transforms}" for workers in (1, 2) for transforms in ("pil", "v2")]
    way = min(ways, key=lambda way: peer(way)[0])
    pairs = [((*ours()[:2], math.nan), peer(way)) for _ in range(min(options.pairs, 3))]
    result = Result(Row(row.work, 2, [], {}, 0.5, unit="s"), way, pairs)
    note(f"  ratio {statistics.median(result.ratios(0)):.2f}, of processor time {statistics.median(result.ratios(1)):.2f}")
    return result


def timed(command, threads=None):
    environment = os.environ | ({"RAYON_NUM_THREADS": str(threads)} if threads else {})
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    seconds, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, used, done.stdout


def prepare(options):
    """Writes the files that both sides read."""
    sweep = next(sweeps(options))
    if not sweep.is_prepared():
        note("preparing files")
        WORK.mkdir(parents=True, exist_ok=True)
        run([options.binaries / "hashlab-bench", "prepare", WORK])
        prepare_features(sweep, options)
    if not (WORK / "photos").exists():
        run([options.python, PEERS / "photos.py", "prepare", WORK])


def prepare_features(sweep, options):
    """Extracts what both sides' runs learn from, and exports it for the peer."""
    out = ["--out", sweep.folder / "features"]
    run([*sweep.ours(options), "features", sweep.experiment, *sweep.settings, *out])


def python_with_torch():
    """The Python that HASHLAB_BENCH_PYTHON names, or one of an environment made for the purpose."""
    if named := os.environ.get("HASHLAB_BENCH_PYTHON"):
        return named
    python, complete = WORK / "venv" / "bin" / "python", WORK / "venv" / "complete"
    wanted = (PEERS / "requirements.txt").read_text()
    if not complete.exists() or complete.read_text() != wanted:
        note("installing PyTorch and others into target/bench/venv (some gigabytes)")
        run([sys.executable, "-m", "venv", "--clear", WORK / "venv"])
        run([python, "-m", "pip", "install", "--quiet", "-r", PEERS / "requirements.txt"])
        complete.write_text(wanted)
    return python


def machine(options):
    """The processor, and the versions of the peers."""
    names = [line.split(":")[1].strip() for line in read_lines("/proc/cpuinfo") if line.startswith("model name")]
    flags = next((line.split() for line in read_lines("/proc/cpuinfo") if line.startswith("flags")), [])
    units = [unit for unit in ("avx2", "avx512f", "avx512_vpopcntdq", "amx_tile") if unit in flags]
    script = "import importlib.metadata as m\nfor n in ('numpy', 'faiss-cpu', 'torch', 'torchvision', 'pillow', 'pyarrow', 'optuna'):\n" \
             "    try: print(n, m.version(n))\n    except m.PackageNotFoundError: pass"
    versions = subprocess.run([options.python, "-c", script], capture_output=True, text=True).stdout.split("\n")
    processor = f"{names[0]}, {len(names)} cores" if names else "unknown"
    capped = f", capped at {options.cpu}" if options.cpu else ""
    return f"processor: {processor} ({', '.join(units)}{capped}); " + ", ".join(filter(None, versions))


def read_lines(path):
    try:
        return pathlib.Path(path).read_text().splitlines()
    except OSError:
        return []


def run(command):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")


def note(text):
    print(text, file=sys.stderr, flush=True)


def table(results):
    """A Markdown table, aligned for people."""
    lines = [HEADER, *(result.cells() for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    lines.insert(1, ["-" * width for width in widths])
    cells = (" | ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in lines)
    return "\n".join(f"| {line} |" for line in cells)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", help="only rows whose name contains one of these words")
    parser.add_argument("--pairs", type=int, default=9, help="repetitions of each side (3 where one takes over 10 s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a repetition, at least one iteration")
    parser.add_argument("--whole", action="store_true", help="whole runs and a sweep, too: an hour more")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE for the row `cifar10`, as for `hashlab sweep`")
    parser.add_argument("--cpu", choices=CAPS, help="widest instructions that both sides use; builds ours for it")
    parser.add_argument("--binaries", type=pathlib.Path, default=TARGET / "release", help="where hashlab-bench is")
    return parser.parse_args()


def is_named(row, options):
    return not options.rows or any(word.lower() in row.work.lower() for word in options.rows)


def cap(options):
    """Has both sides use no wider instructions, as far as each has a switch for it."""
    os.environ |= {"HASHLAB_CPU": options.cpu, **CAPS[options.cpu]}
    if options.cpu == "avx2":  # products of matrices come from a crate without a switch: a build leaves AVX-512 out
        target = TARGET / "avx2"
        packages = ["-p", "hashlab", "-p", "hashlab-bench", "--bins", "--no-default-features"]
        run(["cargo", "build", "--release", *packages, "--target-dir", target])
        options.binaries = target / "release"


def main():
    options = arguments()
    if options.cpu:
        cap(options)
    if options.rows == ["overhead"]:
        options.python = overhead.main(options.binaries / "hashlab", WORK)
        return print(f"\n{machine(options)}")
    options.python = python_with_torch()
    if options.rows == ["search"]:
        done = subprocess.run([options.python, ROOT / "bench" / "search.py", options.binaries / "hashlab-search"])
        print(f"\n{machine(options)}")
        sys.exit(done.returncode)
    listed = subprocess.run([options.binaries / "hashlab-bench", "encoders"], capture_output=True, text=True, check=True)
    chosen = []
    for row in rows():
        known = row.ours[0] != "forward" or row.ours[1] in listed.stdout.split()
        if is_named(row, options) and known and (options.whole or not row.whole):
            chosen.append(row)
    programs = [row for row in extractions() if is_named(row, options)]
    if options.whole or programs or any(not row.files for row in chosen):
        prepare(options)
    results, failed = [], False
    for row in chosen:
        note(f"{row.work}, {row.threads} thread{'s' * (row.threads > 1)}")
        try:
            results.append(measure(row, options))
        except SystemExit as failure:  # the other rows are still worth having
            failed = True
            note(failure)
    for row in programs:
        note(row.work)
        try:
            results.append(measure_extraction(row, options))
        except SystemExit as failure:
            failed = True
            note(failure)
    for sweep in sweeps(options) if options.whole else ():
        if is_named(sweep, options):
            note(sweep.work)
            results.append(measure_sweep(sweep, options))
    if not results and not failed:
        sys.exit("no row is named so; whole runs and sweeps need --whole")
    print(table(results))
    print(f"\n{machine(options)}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
