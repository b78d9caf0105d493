"""What scripts/gpu-check.py measures: our work beside PyTorch's on the same device, and many runs in one process."""

import concurrent.futures
import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

CORES = os.cpu_count()


class Failed(Exception):
    """A workload that could not be measured, and why."""


@dataclass
class Bench:
    """Where workloads are and run."""

    pack: object  # the folder of `just gpu-pack`
    device: str
    env: dict

    @property
    def gpu(self):
        return self.device != "cpu"

    def ours(self, *workload):
        return Served([self.pack / "bin" / "hashlab-bench", *workload, "--device", self.device], self.env)

    def peer(self, way, script, *arguments):
        """Starts a script that does the same in PyTorch, in one of its ways."""
        command = [sys.executable, self.pack / "peers" / script, CORES, *arguments, way, self.device]
        return Served(command, self.env)

    def once(self, *command, threads=CORES):
        """Does a workload once, in a process of its own that works with so many threads; returns what it found."""
        command = [str(part) for part in [self.pack / "bin" / "hashlab-bench", *command]]
        env = dict(self.env, RAYON_NUM_THREADS=str(threads))
        done = subprocess.run(command, input="1\n", env=env, capture_output=True, text=True, timeout=550)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr[-500:]}")
        return float((done.stdout.split() or ["nan"])[-1])


@dataclass
class Row:
    """A workload, and the ways to do the same in PyTorch."""

    title: str
    ours: list
    peer: list
    ways: list
    items: int  # per iteration
    target: float  # what our work per second should be, as a multiple of PyTorch's


def rows(gpu):
    """The workloads; small ones for the processor, where nothing but their running is of interest."""
    size, batch = (224, 128) if gpu else (32, 2)

    def head(dim):
        return Row(f"head {dim}→1024→64, batch 128: steps/s", ["head", dim], ["head.py", dim], ["eager"], 1, 1.5)

    def forward(name, compute, ways):
        title = f"{name} in {compute}, {size} px, batch {batch}: images/s"
        ours, peer = ["forward", name, size, batch, "--compute", compute], ["forward.py", name, size, batch]
        return Row(title, ours, peer, ways, batch, 0.8)

    reduced = ["channels_last+bf16", "channels_last+autocast"]
    return [
        head(512),
        head(1280),
        forward("resnet50", "f32", ["nchw", "channels_last"]),
        forward("resnet50", "bf16", reduced),
        forward("vgg16", "bf16", reduced),
    ]


def beside_pytorch(bench):
    """Tells of each workload how much of it is done per second, by us and by PyTorch's fastest way, in turns."""
    for row in rows(bench.gpu):
        mine = bench.ours(*row.ours)
        if not mine.ready:
            raise Failed(f"{row.title}: {mine.said()}")
        way, other, refusals = fastest(row.ways, lambda way: bench.peer(way, *row.peer))
        pairs = in_turns(mine, other)
        rates = [row.items / statistics.median(column) for column in zip(*pairs)]
        line = f"{row.title} {rates[0]:,.1f}"
        if other:
            ratio = statistics.median(theirs / ours for ours, theirs in pairs)
            line += f", PyTorch {way} {rates[1]:,.1f}, ratio {ratio:.2f} (target {row.target})"
        for side in filter(None, [mine, other]):
            side.close()
        yield "; ".join([line, *refusals])


def packs(bench, folder):
    """Tells how long whole runs take as processes of their own, and as threads that share device and stored features.

    Times are those of whole processes, from their start. However they are started, the runs must find the same.
    """
    runs, epochs = (16, 10) if bench.gpu else (2, 1)
    place = ["--device", bench.device]
    bench.once("prepare", folder)
    bench.once("run", folder, 1, *place)  # extracts the features that all others read

    def alone(threads):
        return lambda seed: bench.once("run", folder, epochs, "--seed", seed, *place, threads=threads)

    def pack(*apart):
        return bench.once("pack", folder, epochs, runs, *apart, *place)

    with concurrent.futures.ThreadPoolExecutor(4) as four:
        ways = {
            "processes, one after the other": lambda: statistics.fmean(map(alone(CORES), range(runs))),
            "processes, 4 at a time": lambda: statistics.fmean(four.map(alone(max(1, CORES // 4)), range(runs))),
            "threads of one process, on one stream": pack,
            "threads of one process, a stream each": lambda: pack("--apart"),
        }
        found = []
        for way, work in ways.items():
            start = time.monotonic()
            found.append(work())
            seconds = time.monotonic() - start
            yield f"{runs} runs of {epochs} epochs, {way}: {seconds:.1f} s, {3600 * runs / seconds:,.0f} per hour"
    if not max(found) - min(found) < 1e-9:
        raise Failed(f"the mean mAP of the runs depends on how they are started: {found}")


class Served:
    """A workload that answers each number of iterations with its seconds."""

    def __init__(self, command, env):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen([str(part) for part in command], env=env, text=True, **pipes)
        self.ready = self.process.stdout.readline().strip() == "ready"

    def seconds(self, iterations):
        self.process.stdin.write(f"{iterations}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline().split()[0])

    def warm(self):
        """Seconds per iteration once kernels are loaded, and chosen."""
        self.seconds(3)
        return self.seconds(5) / 5

    def said(self):
        return self.process.communicate()[1].strip() or "nothing was said"

    def close(self):
        self.process.kill()
        self.process.wait()


def fastest(ways, start):
    """Starts a workload in several ways and keeps the fastest. Returns its way, itself, and why others did not start."""
    best, refusals = (math.inf, None, None), []
    for way in ways:
        side = start(way)
        if not side.ready:
            refusals.append(f"PyTorch {way}: {side.said().splitlines()[-1]}")
            continue
        seconds = side.warm()
        slower = side
        if seconds < best[0]:
            best, slower = (seconds, way, side), best[2]
        if slower:
            slower.close()
    return best[1], best[2], refusals


def in_turns(mine, other):
    """Seconds per iteration, ours and, where there is one, the other's: ten repetitions of about half a second."""
    sides = [side for side in (mine, other) if side]
    counts = [max(1, int(0.5 / side.warm())) for side in sides]
    return [tuple(side.seconds(n) / n for side, n in zip(sides, counts)) for _ in range(10)]
