#!/usr/bin/env python3
"""Checks hashlab on a GPU: `just gpu-check`, or this file in the folder that `just gpu-pack` made, on a machine that has
neither Rust nor a network. With `--device cpu` the same checks run on the processor, but for those that need a GPU.

Needs the driver, and the CUDA libraries of a toolkit or of PyTorch's wheels; PyTorch only to compare times with.
Exit codes: 0 all checks passed, 1 one failed, 2 there is no GPU that could be checked.
"""

import argparse
import array
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import site
import statistics
import subprocess
import sys
import tempfile
import time

import gpu_times

HERE = pathlib.Path(__file__).resolve().parent
LIBRARIES = ["libcublas.so.13", "libcublasLt.so.13", "libcudart.so.13", "libcurand.so.10"]
# Tests that read the sources, or whose subject is the processor.
NOT_HERE = ["every_method_file_is_registered", "write_masks"]

# Every method; long enough to be killed in the middle.
SWEEP = """
dataset = "shapes"
bits = [16, 32]
seeds = [0]
[data]
items = 600
size = 32
[backbone]
size = 32
views = 4
[train]
epochs = {epochs}
batch_size = 64
validate_every = {epochs}
[[arm]]
method = "itq"
[[arm]]
method = "cibhash"
[[arm]]
method = "nsh"
[[arm]]
method = "hashnet"
"""

# NSH compares every pair of a batch with every third one: at 8,000 views, 2 TB.
TOO_LARGE = """
dataset = "shapes"
bits = [16]
seeds = [0]
[data]
items = 6000
[backbone]
size = 16
views = 2
[train]
epochs = 1
batch_size = 4000
[[arm]]
method = "itq"
[[arm]]
method = "nsh"
"""

# How far the mAP of a run may be from that of the same run on the processor: rounding flips bits of codes that lie at 0,
# and a training amplifies it.
CLOSED_FORM, TRAINED = 0.005, 0.03
# Features, relative to their standard deviation.
FEATURES = 1e-3


class Failed(Exception):
    """A check that did not hold, and why."""


class Skipped(Exception):
    """A check that says nothing here, and why."""


class Checks:
    def __init__(self, pack, device, work, quick, words):
        self.pack, self.device, self.work, self.quick, self.words = pack, device, work, quick, words
        self.gpu = device != "cpu"
        self.env = dict(os.environ, HASHLAB_LOG="warn")
        self.env.pop("HASHLAB_DEVICE", None)
        self.rows = []

    def run(self):
        for check in [
            self.golden_values_and_conformance,
            self.features_agree_with_the_processor,
            self.a_killed_sweep_goes_on,
            self.runs_share_the_device,
            self.map_agrees_with_the_processor,
            self.one_run_out_of_memory_fails_alone,
            self.times_beside_pytorch,
            self.packs_beside_processes,
        ]:
            name = check.__name__.replace("_", " ")
            if self.words and not any(word in name for word in self.words):
                continue
            print(f"... {name}", file=sys.stderr, flush=True)
            start = time.monotonic()
            try:
                state, detail = "ok", check()
            except Failed as reason:
                state, detail = "FAILED", str(reason)
            except Skipped as reason:
                state, detail = "skipped", str(reason)
            except subprocess.TimeoutExpired as error:
                state, detail = "FAILED", f"not done after {error.timeout:.0f} s"
            self.rows.append((state, name, f"{time.monotonic() - start:.0f} s", detail))
        if not self.rows:
            sys.exit(f"gpu-check: no check has {' or '.join(self.words)} in its name")
        width = max(len(name) for _, name, _, _ in self.rows)
        print(f"\nhashlab on {self.device}{f', {model(self.device)}' if self.gpu else ''}")
        for state, name, seconds, detail in self.rows:
            first, *rest = detail.splitlines() or [""]
            print(f"{state:8} {name:{width}} {seconds:>6}  {first}")
            for line in rest:
                print(" " * (width + 18) + line)
        return 1 if any(state == "FAILED" for state, *_ in self.rows) else 0

    # --- the checks ---

    def golden_values_and_conformance(self):
        """The tests that know devices: golden values and gradients, resumed = uninterrupted, saved = loaded."""
        env = dict(self.env, HASHLAB_TEST_DEVICE=self.device, HASHLAB_GOLDEN=str(self.pack / "golden"))
        env["CARGO_MANIFEST_DIR"] = str(self.pack)
        skip = [argument for name in NOT_HERE for argument in ("--skip", name)]
        passed, failed = 0, []
        for test in sorted((self.pack / "tests").iterdir()):
            if test.suffix:
                continue  # values that the tests read
            done = subprocess.run(
                [test, "--test-threads=1", *skip], env=env, cwd=self.pack, capture_output=True, text=True, timeout=500
            )
            counted = re.search(r"test result: \w+\. (\d+) passed", done.stdout)
            passed += int(counted[1]) if counted else 0
            if done.returncode != 0:
                said = re.findall(r"^---- (\S+) stdout ----\n+(?:.*\n)?(.*)", done.stdout, re.M)
                failed += [f"{test.name}: {name}: {line[:150]}" for name, line in said]
                failed += [] if said else [f"{test.name}: exit code {done.returncode}: {done.stderr[-300:]}"]
        if failed:
            raise Failed(f"{passed} passed, {len(failed)} failed\n" + "\n".join(failed))
        return f"{passed} tests"

    def features_agree_with_the_processor(self):
        experiment = self.write("features.toml", SWEEP.format(epochs=1))
        found = {}
        for device in ["cpu", self.device]:
            out = self.work / f"features-{device}"
            self.hashlab(device, f"features-runs-{device}", "features", experiment, "--device", device, "--out", out)
            found[device] = {path.name: read_npy(path) for path in out.glob("*.npy") if "f4" in npy_type(path)}
        worst = 0.0
        for name, values in found["cpu"].items():
            deviation = statistics.pstdev(values)
            worst = max(worst, max(abs(a - b) for a, b in zip(values, found[self.device][name])) / deviation)
        if worst > FEATURES or not found["cpu"]:
            raise Failed(f"they differ by {worst:.1e} of their standard deviation, allowed is {FEATURES:.0e}")
        return f"{len(found['cpu'])} files differ by at most {worst:.1e} of their standard deviation"

    def a_killed_sweep_goes_on(self):
        experiment, epochs = self.undisturbed()
        killed = 0
        for at in [1, epochs // 3, epochs // 2]:
            killed += self.kill_at("killed", experiment, at)
        if killed == 0:
            raise Failed("every sweep was done before it could be killed")
        self.sweep("killed", experiment, "--jobs", "2")
        self.same("undisturbed", "killed")
        return f"killed {killed} times, then the same bits as the undisturbed one"

    def runs_share_the_device(self):
        experiment, _ = self.undisturbed()
        start = time.monotonic()
        self.sweep("shared", experiment, "--jobs", "4")
        together = time.monotonic() - start
        self.same("undisturbed", "shared")
        return f"4 at once give the same bits as one after the other, in {together:.0f} s"

    def map_agrees_with_the_processor(self):
        arguments = [] if not self.quick else ["--set", "bits=[32]", "--set", "train.epochs=5"]
        arguments += ["--set", "train.validate_every=5"] if self.quick else []
        self.hashlab("cpu", "quick-cpu", "sweep", *arguments)
        self.hashlab(self.device, "quick-device", "sweep", "--device", self.device, *arguments)
        ours, theirs = (
            {run["run"]: run["result"]["test"]["map_at_k"] for run in self.results(folder)}
            for folder in ["quick-device", "quick-cpu"]
        )
        if not ours or ours.keys() != theirs.keys():
            raise Failed("the sweeps have not the same runs")
        worst = {}
        for run, value in ours.items():
            method = run.split("-")[0]
            worst[method] = max(worst.get(method, 0.0), abs(value - theirs[run]))
        text = ", ".join(f"{method} by {difference:.4f}" for method, difference in worst.items())
        allowed = {method: TRAINED if method == "cibhash" else CLOSED_FORM for method in worst}
        if any(worst[method] > allowed[method] for method in worst):
            raise Failed(f"mAP differs: {text}; allowed is {CLOSED_FORM}, {TRAINED} after a training")
        return f"mAP of {len(ours)} runs differs by at most: {text}"

    def one_run_out_of_memory_fails_alone(self):
        if not self.gpu:
            raise Skipped("it would take the processor's whole memory")
        experiment = self.write("large.toml", TOO_LARGE)
        done = self.program("large", "sweep", experiment, "--device", self.device)
        states = {run["run"].split("-")[0]: (run["outcome"], run["error"]) for run in self.results("large")}
        if done.returncode != 3 or states["itq"][0] != "finished" or states["nsh"][0] != "failed":
            raise Failed(f"exit code {done.returncode}, expected 3; {states}; {done.stderr[-300:]}")
        if "memory" not in states["nsh"][1].lower():
            raise Failed(f"the failed run does not say that memory ran out: {states['nsh'][1]}")
        return f"the other run finished; the failed one says: {states['nsh'][1].splitlines()[0][:100]}"

    def times_beside_pytorch(self):
        if self.quick:
            raise Skipped("--quick")
        return self.told(gpu_times.beside_pytorch)

    def packs_beside_processes(self):
        if self.quick:
            raise Skipped("--quick")
        return self.told(gpu_times.packs, self.work / "pack")

    # --- what they are made of ---

    def told(self, measure, *arguments):
        """What a measurement tells; also at once, lest it is lost where the rest takes too long."""
        lines = []
        try:
            for line in measure(gpu_times.Bench(self.pack, self.device, self.env), *arguments):
                print(line, file=sys.stderr, flush=True)
                lines.append(line)
        except gpu_times.Failed as reason:
            raise Failed("\n".join([str(reason), *lines])) from None
        return "\n".join(lines)

    def write(self, name, text):
        (self.work / name).write_text(text)
        return self.work / name

    def program(self, runs, *arguments):
        command = [self.pack / "bin" / "hashlab", "--runs", self.work / runs, *arguments]
        return subprocess.run(command, env=self.env, cwd=self.work, capture_output=True, text=True, timeout=550)

    def hashlab(self, device, runs, *arguments):
        done = self.program(runs, *arguments)
        if done.returncode != 0:
            raise Failed(f"on {device}, exit code {done.returncode}: {done.stderr[-500:]}{done.stdout[-300:]}")

    def sweep(self, runs, experiment, *arguments):
        self.hashlab(self.device, runs, "sweep", experiment, "--device", self.device, *arguments)

    def undisturbed(self):
        """Sweeps without a disturbance, once; returns the experiment, and its number of epochs."""
        epochs = 100 if self.quick else 300
        experiment = self.write("sweep.toml", SWEEP.format(epochs=epochs))
        if not (self.work / "undisturbed").exists():
            self.sweep("undisturbed", experiment, "--jobs", "1")
        return experiment, epochs

    def kill_at(self, runs, experiment, epochs):
        """Kills a sweep and all that it started once a training has done so many epochs; whether there was time to."""
        command = [self.pack / "bin" / "hashlab", "--runs", self.work / runs, "sweep", experiment]
        command += ["--device", self.device, "--jobs", "2"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        sweep = subprocess.Popen(command, env=self.env, cwd=self.work, start_new_session=True, **quiet)
        while sweep.poll() is None:
            journals = (self.work / runs).rglob("metrics.jsonl")
            if any(epochs <= journal.read_bytes().count(b"\n") for journal in journals):
                os.killpg(sweep.pid, signal.SIGKILL)
                sweep.wait()
                return 1
            time.sleep(0.005)
        return 0

    def results(self, runs):
        lines = next((self.work / runs).rglob("results.jsonl")).read_text().splitlines()
        return [record for record in map(json.loads, lines) if "run" in record]

    def same(self, first, second):
        """Compares results and journals of two sweeps of the same runs, bit for bit."""
        found = []
        for runs in [first, second]:
            kept = {}
            for run in self.results(runs):
                result = run["result"] or {}
                parts = {key: result.get(key) for key in ["status", "test", "validation", "curves", "epoch"]}
                parts["zeros"] = result.get("provenance", {}).get("zero_outputs")
                journal = next((self.work / runs).rglob(f"{run['run']}/metrics.jsonl"))
                kept[run["run"]] = (parts, journal.read_text())
            found.append(kept)
        differing = [run for run in found[0] if found[0][run] != found[1].get(run)]
        if differing or not found[0] or any(parts["status"] != "finished" for parts, _ in found[0].values()):
            raise Failed(f"the results of `{first}` and `{second}` differ: {', '.join(differing) or 'none finished'}")


def npy_type(path):
    with open(path, "rb") as file:
        return file.read(128).decode("latin-1")


def read_npy(path):
    data = path.read_bytes()
    start = 10 + int.from_bytes(data[8:10], "little")
    values = array.array("f")
    values.frombytes(data[start:])
    return values


def find_libraries():
    """The folder of the CUDA libraries, or nothing where the loader finds them by itself."""
    try:
        for library in LIBRARIES:
            ctypes.CDLL(library)
        return None
    except OSError:
        pass
    places = [pathlib.Path(os.environ[home]) / "lib64" for home in ["CUDA_HOME", "CUDA_PATH"] if home in os.environ]
    places.append(pathlib.Path("/usr/local/cuda/lib64"))
    packages = [*site.getsitepackages(), site.getusersitepackages(), *sys.path]
    places += [pathlib.Path(folder) / "nvidia" / "cu13" / "lib" for folder in packages]
    for place in places:
        if all((place / library).exists() for library in LIBRARIES):
            return place
    no_gpu(f"{', '.join(LIBRARIES)} are nowhere: looked at {', '.join(map(str, places[:8]))}")


def no_gpu(reason):
    print(f"gpu-check: no check was done: {reason}", file=sys.stderr)
    sys.exit(2)


def need_gpu():
    """Ends the program where no GPU can be used."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        no_gpu(f"no NVIDIA driver: {error}")
    count = ctypes.c_int()
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if code != 0 or count.value == 0:
        no_gpu(f"the NVIDIA driver finds no GPU (CUDA error {code})")


def model(device):
    """The model of a GPU, as its driver calls it."""
    name = ctypes.create_string_buffer(100)
    ctypes.CDLL("libcuda.so.1").cuDeviceGetName(name, len(name), int(device.partition(":")[2] or 0))
    return name.value.decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only checks whose name contains one of these, e.g. times packs")
    parser.add_argument("--device", default="cuda:0", help="what to check [default: cuda:0]")
    parser.add_argument("--pack", type=pathlib.Path, default=HERE, help="the folder that `just gpu-pack` made")
    parser.add_argument("--quick", action="store_true", help="shorter trainings, and no times")
    arguments = parser.parse_args()
    pack = arguments.pack.resolve()
    if not (pack / "bin" / "hashlab").exists():
        parser.error(f"{pack} holds no bin/hashlab: `just gpu-pack` makes the folder")
    if arguments.device != "cpu":
        need_gpu()
        if place := find_libraries():
            os.environ["LD_LIBRARY_PATH"] = f"{place}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")
    work = pathlib.Path(tempfile.mkdtemp(prefix="gpu-check-"))
    try:
        return Checks(pack, arguments.device, work, arguments.quick, arguments.words).run()
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
