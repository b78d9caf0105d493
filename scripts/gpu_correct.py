"""What scripts/gpu-check.py checks: that a GPU finds what the processor finds, and what a killed sweep goes on to find."""

import array
import json
import os
import re
import signal
import statistics
import subprocess
import time

from gpu_process import Failed, OutOfTime, Skipped

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
[image]
image_size = 32
views = 4
[train]
epochs = {epochs}
batch_size = 64
validate_every = {epochs}
[[method]]
name = "itq"
[[method]]
name = "cibhash"
[[method]]
name = "nsh"
[[method]]
name = "hashnet"
"""

# NSH compares every pair of a batch with every third one: at 8,000 views, 2 TB.
TOO_LARGE = """
dataset = "shapes"
bits = [16]
seeds = [0]
[data]
items = 6000
[image]
image_size = 16
views = 2
[train]
epochs = 1
batch_size = 4000
[[method]]
name = "itq"
[[method]]
name = "nsh"
"""

# How far the mAP of a run may be from that of the same run on the processor: rounding flips bits of codes that lie at 0,
# and a training amplifies it.
CLOSED_FORM, TRAINED = 0.005, 0.03
# Features, relative to their standard deviation.
FEATURES = 1e-3


class Checks:
    """Checks of a device. Each returns what it found, within what its clock leaves it."""

    def __init__(self, pack, device, env, work):
        self.pack, self.device, self.env, self.work = pack, device, env, work
        self.gpu = device != "cpu"

    def golden_values_and_conformance(self, clock):
        """The tests that know devices: golden values and gradients, resumed = uninterrupted, saved = loaded."""
        env = dict(self.env, HASHLAB_TEST_DEVICE=self.device, HASHLAB_GOLDEN=str(self.pack / "golden"))
        env["CARGO_MANIFEST_DIR"] = str(self.pack)
        skip = [argument for name in NOT_HERE for argument in ("--skip", name)]
        passed, failed = 0, []
        # Those of the kernels first: where they fail, so does the rest.
        tests = sorted((self.pack / "tests").iterdir(), key=lambda test: (not test.name.startswith("kernels"), test.name))
        for test in tests:
            if test.suffix:
                continue  # values that the tests read
            try:
                done = clock.run([test, "--test-threads=1", *skip], env=env, cwd=self.pack)
            except OutOfTime as reason:
                raise OutOfTime(f"{reason}; {passed} passed before\n" + "\n".join(failed)) from None
            counted = re.search(r"test result: \w+\. (\d+) passed", done.stdout)
            passed += int(counted[1]) if counted else 0
            if done.returncode != 0:
                said = re.findall(r"^---- (\S+) stdout ----\n+(?:.*\n)?(.*)", done.stdout, re.M)
                failed += [f"{test.name}: {name}: {line[:150]}" for name, line in said]
                failed += [] if said else [f"{test.name}: exit code {done.returncode}: {done.stderr[-300:]}"]
        if failed:
            raise Failed(f"{passed} passed, {len(failed)} failed\n" + "\n".join(failed))
        return f"{passed} tests"

    def kernels_with_cudnn(self, clock):
        """The tests of the kernels and of training passes once more, with cuDNN's convolutions."""
        if not self.gpu:
            raise Skipped("cuDNN computes on a GPU alone")
        env = dict(self.env, HASHLAB_TEST_DEVICE=self.device, HASHLAB_CUDNN="on", CARGO_MANIFEST_DIR=str(self.pack))
        skip = [argument for name in NOT_HERE for argument in ("--skip", name)]
        said = []
        for name in ["kernels-device", "encoders-training", "encoders-torchvision"]:
            command = [self.pack / "tests" / name, "--test-threads=1", "--nocapture", *skip]
            done = clock.run(command, env=env, cwd=self.pack)
            if done.returncode != 0:
                raise Failed(f"{name}: {done.stdout[-600:]}{done.stderr[-600:]}")
            said += re.findall("cuDNN left .*", done.stdout)
        return "\n".join(said)

    def features_agree_with_the_processor(self, clock):
        experiment = self.write("features.toml", SWEEP.format(epochs=1))
        found = {}
        for device in ["cpu", self.device]:
            out = self.work / f"features-{device}"
            self.hashlab(clock, device, f"features-runs-{device}", "features", experiment, "--device", device, "--out", out)
            found[device] = {path.name: read_npy(path) for path in out.glob("*.npy") if "f4" in npy_type(path)}
        worst = 0.0
        for name, values in found["cpu"].items():
            deviation = statistics.pstdev(values)
            worst = max(worst, max(abs(a - b) for a, b in zip(values, found[self.device][name])) / deviation)
        if worst > FEATURES or not found["cpu"]:
            raise Failed(f"they differ by {worst:.1e} of their standard deviation, allowed is {FEATURES:.0e}")
        return f"{len(found['cpu'])} files differ by at most {worst:.1e} of their standard deviation"

    def a_killed_sweep_goes_on(self, clock):
        experiment, epochs = self.undisturbed(clock)
        killed = 0
        for at in [1, epochs // 3, epochs // 2]:
            killed += self.kill_at(clock, "killed", experiment, at)
        if killed == 0:
            raise Failed("every sweep was done before it could be killed")
        self.sweep(clock, "killed", experiment, "--jobs", "2")
        self.same("undisturbed", "killed")
        return f"killed {killed} times, then the same bits as the undisturbed one"

    def runs_share_the_device(self, clock):
        experiment, _ = self.undisturbed(clock)
        start = time.monotonic()
        self.sweep(clock, "shared", experiment, "--jobs", "4")
        together = time.monotonic() - start
        self.same("undisturbed", "shared")
        return f"4 at once give the same bits as one after the other, in {together:.0f} s"

    def stacked_runs_are_like_single_ones(self, clock):
        """The same runs, those of one code length in one process; on the processor with the same bits."""
        experiment = self.write("stacked.toml", SWEEP.format(epochs=20).replace("seeds = [0]", "seeds = [0, 1, 2]"))
        seconds = {}
        for folder, most in [("single", 1), ("stacked", 16)]:
            start = time.monotonic()
            self.sweep(clock, folder, experiment, "--stack", str(most), "--jobs", "1")
            seconds[folder] = time.monotonic() - start
        times = f"in {seconds['stacked']:.0f} s beside {seconds['single']:.0f} s"
        made_of = lambda run: (finished(run) or {}).get("provenance", {})
        stacked = [run["run"] for run in self.results("stacked") if "stacked" in made_of(run)]
        if not stacked:
            raise Failed("no run was stacked")
        if not self.gpu:
            self.same("single", "stacked")
            return f"the same bits, {len(stacked)} runs {times}"
        value = lambda run: finished(run)["test"]["i2i"]["metrics"]["map_at_k"]
        single, found = ({run["run"]: value(run) for run in self.results(folder)} for folder in ["single", "stacked"])
        worst = max(abs(single[run] - found[run]) for run in stacked)
        if worst > TRAINED:
            raise Failed(f"mAP differs by {worst:.4f}, allowed is {TRAINED}")
        return f"mAP of {len(stacked)} runs differs by at most {worst:.4f}, {times}"

    def map_agrees_with_the_processor(self, clock):
        arguments = ["--set", "bits=[32]", "--set", "train.epochs=5", "--set", "train.validate_every=5"]
        self.hashlab(clock, "cpu", "quick-cpu", "sweep", *arguments)
        self.hashlab(clock, self.device, "quick-device", "sweep", "--device", self.device, *arguments)
        ours, theirs = (
            {run["run"]: finished(run)["test"]["i2i"]["metrics"]["map_at_k"] for run in self.results(folder)}
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

    def one_run_out_of_memory_fails_alone(self, clock):
        if not self.gpu:
            raise Skipped("it would take the processor's whole memory")
        experiment = self.write("large.toml", TOO_LARGE)
        done = self.program(clock, "large", "sweep", experiment, "--device", self.device)
        states = {run["method"]: run["outcome"] for run in self.results("large")}
        if done.returncode != 3 or "finished" not in states["itq"] or "failed" not in states["nsh"]:
            raise Failed(f"exit code {done.returncode}, expected 3; {states}; {done.stderr[-300:]}")
        error = states["nsh"]["failed"]["first_line"]
        if "memory" not in error.lower():
            raise Failed(f"the failed run does not say that memory ran out: {error}")
        return f"the other run finished; the failed one says: {error[:100]}"

    # --- what they are made of ---

    def write(self, name, text):
        (self.work / name).write_text(text)
        return self.work / name

    def program(self, clock, runs, *arguments):
        command = [self.pack / "bin" / "hashlab", "--runs", self.work / runs, *arguments]
        return clock.run(command, env=self.env, cwd=self.work)

    def hashlab(self, clock, device, runs, *arguments):
        done = self.program(clock, runs, *arguments)
        if done.returncode != 0:
            raise Failed(f"on {device}, exit code {done.returncode}: {done.stderr[-500:]}{done.stdout[-300:]}")

    def sweep(self, clock, runs, experiment, *arguments):
        self.hashlab(clock, self.device, runs, "sweep", experiment, "--device", self.device, *arguments)

    def undisturbed(self, clock):
        """Sweeps without a disturbance, once; returns the experiment, and its number of epochs."""
        epochs = 60
        experiment = self.write("sweep.toml", SWEEP.format(epochs=epochs))
        if not (self.work / "undisturbed").exists():
            self.sweep(clock, "undisturbed", experiment, "--jobs", "1")
        return experiment, epochs

    def kill_at(self, clock, runs, experiment, epochs):
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
            try:
                clock.left()
            except OutOfTime:
                os.killpg(sweep.pid, signal.SIGKILL)
                sweep.wait()
                raise
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
                result = finished(run) or {}
                parts = {key: result.get(key) for key in ["status", "test", "validation", "codes", "epoch"]}
                journal = next((self.work / runs).rglob(f"{run['run']}/metrics.jsonl"))
                kept[run["run"]] = (parts, journal.read_text())
            found.append(kept)
        differing = [run for run in found[0] if found[0][run] != found[1].get(run)]
        if differing or not found[0] or any(parts["status"] != "finished" for parts, _ in found[0].values()):
            raise Failed(f"the results of `{first}` and `{second}` differ: {', '.join(differing) or 'none finished'}")


def finished(run):
    """The result of a run, if it was trained and evaluated."""
    outcome = run["outcome"]
    return outcome.get("finished") if isinstance(outcome, dict) else None


def npy_type(path):
    with open(path, "rb") as file:
        return file.read(128).decode("latin-1")


def read_npy(path):
    data = path.read_bytes()
    start = 10 + int.from_bytes(data[8:10], "little")
    values = array.array("f")
    values.frombytes(data[start:])
    return values


