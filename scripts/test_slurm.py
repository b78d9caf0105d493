"""Sweeps on a real Slurm cluster of one node, against the same sweeps on this machine, bit for bit.

    just test-slurm            # everything; some minutes
    just test-slurm --short    # without waiting for Slurm's own time limit

Needs a cluster that scripts/slurm-node.sh brought up, as `just test-slurm` does. Each scenario disturbs a sweep, gives the
same command again where a user would, and compares the table with that of an undisturbed local sweep.
"""

import argparse
import json
import math
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = """dataset = "shapes"
bits = [16]
[data]
items = 300
size = 16
[image]
encoder = "convnet"
image_size = 16
views = 4
[train]
batch_size = 32
validate_every = 4
"""
# 300 runs that take a moment each.
MANY = (
    f"seeds = [{', '.join(str(seed) for seed in range(150))}]\n"
    + SHARED
    + '[[method]]\nname = "lsh"\n[[method]]\nname = "itq"\n'
)
# Runs that take seconds, so that they can be met while they run.
SLOW = 'seeds = [0, 1, 2, 3, 4, 5]\n' + SHARED.replace("[train]", "[train]\nepochs = EPOCHS") + '[[method]]\nname = "cibhash"\n'

# Spectral hashing cannot be fitted to items that are all alike, which only its run finds out; the runs of the other take
# seconds.
FAILING = """dataset = "features"
bits = [16]
seeds = [0, 1]
[data]
dir = "alike"
queries = 8
[train]
epochs = 60000
batch_size = 8
validate_every = 20000
[[method]]
name = "sh"
[[method]]
name = "sh"
label = "SH 8"
bits = [8]
[[method]]
name = "hashnet"
"""
GRID = """[method.grid]
tau = { low = 0.05, high = 2, scale = "log" }
"train.learning_rate" = { low = 1e-5, high = 1e-2, scale = "log" }
"""
# Nine settings, of which three go on after 2 epochs and one after 6.
HALVING = (
    'seeds = [0]\n'
    + SHARED.replace("[train]", "[train]\nepochs = 20").replace("validate_every = 4", "validate_every = 2")
    + '[pruning]\nmethod = "successive_halving"\nmin_epochs = 2\neta = 3\n'
    + '[[method]]\nname = "cibhash"\nsearch = "sobol"\ntrials = 9\n' + GRID
)
# Ten trials that are drawn, then two generations that follow from results.
TPE = (
    'seeds = [0]\n'
    + SHARED.replace("[train]", "[train]\nepochs = 8")
    + '[[method]]\nname = "cibhash"\nsearch = "tpe"\ntrials = 14\ngeneration = 2\n' + GRID
)


class Lab:
    """A folder with an experiment, and the program in it."""

    def __init__(self, program: Path, root: Path, name: str, experiment: str):
        self.program, self.folder = program, root / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / "tiny.toml").write_text(experiment)

    def profile(self, **settings) -> None:
        settings = {"cpus": 1, "mem": "300M", "time": "10", "warning": 60} | settings
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
        (self.folder / "slurm.toml").write_text("".join(lines))

    def start(self, *args: str) -> subprocess.Popen:
        print(f"    $ hashlab {' '.join(args)}", flush=True)
        return subprocess.Popen(
            [self.program, *args], cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def run(self, *args: str, code: int | None = 0) -> str:
        process = self.start(*args)
        output, _ = process.communicate()
        for line in output.splitlines():
            print(f"    {line}", flush=True)
        if code is not None and process.returncode != code:
            raise AssertionError(f"`hashlab {' '.join(args)}` ended with {process.returncode}, not {code}")
        return output

    def sweep(self, *args: str) -> tuple[str, ...]:
        return ("--runs", "cluster", "sweep", "tiny.toml", "--no-times", "--executor", "slurm", "--slurm", "slurm.toml", *args)

    def local(self, code: int) -> str:
        """The table of an undisturbed sweep on this machine."""
        started = time.time()
        done = subprocess.run(
            [self.program, "--runs", "local", "sweep", "tiny.toml", "--no-times"],
            cwd=self.folder, text=True, capture_output=True,
        )
        assert done.returncode == code, (done.returncode, done.stderr)
        print(f"    the same sweep on this machine took {time.time() - started:.0f} s", flush=True)
        return done.stdout

    def equal_tables(self, code: int = 0) -> None:
        """Compares tables, and what the runs found, of the cluster and of this machine, whose sweep ends with `code`."""
        local = self.local(code)
        done = subprocess.run(
            [self.program, "--runs", "cluster", "table", "tiny", "--no-times"],
            cwd=self.folder, text=True, capture_output=True, check=True,
        )
        assert done.stdout == local, f"the tables differ:\n{done.stdout}\n{local}"
        found = [dict(self.findings(runs)) for runs in ("cluster", "local")]
        assert found[0] == found[1] and found[0], "the results differ"
        print(f"    the table and the metrics of {len(found[0])} runs equal those of the local sweep", flush=True)

    def findings(self, runs: str):
        """What each run found, without times, provenance and the digest of both."""
        for path in (self.folder / runs / "store").glob("*/*/result.json"):
            text = path.read_text()
            yield path.parent.name, re.sub(r'"(seconds|provenance)": \{[^}]*\}|"attempts": \d+|"digest": "\w+"', "", text)

    def finished(self) -> int:
        return len(list((self.folder / "cluster" / "store").glob("*/*/result.json")))

    def attempts(self) -> dict[str, int]:
        lines = lambda path: len(path.read_text().splitlines())
        return {path.parent.name: lines(path) for path in (self.folder / "cluster" / "store").glob("*/*/attempts.jsonl")}


def until(what: str, look, seconds: float = 180) -> None:
    started = time.time()
    while not look():
        if time.time() - started > seconds:
            raise AssertionError(f"never came: {what}")
        time.sleep(0.1)


def slurm(*command: str) -> str:
    return subprocess.run(command, text=True, capture_output=True).stdout


def tasks(state: str) -> list[str]:
    """Tasks of arrays in a state, as `job_index`."""
    lines = slurm("squeue", "--noheader", "--array", "--states", state, "--format", "%F_%K %j").splitlines()
    return [line.split()[0] for line in lines if "hashlab" in line and "N/A" not in line]


def many_runs(lab: Lab) -> None:
    """300 runs in two arrays; the submitting process and the controller are killed while they run."""
    lab.profile(runs_per_task=4, max_running=4)
    follower = lab.start(*lab.sweep())
    until("some runs are finished", lambda: lab.finished() >= 10)
    follower.send_signal(signal.SIGKILL)
    follower.wait()
    print(f"    the submitting process was killed after {lab.finished()} of 300 runs", flush=True)
    subprocess.run([HERE / "slurm-node.sh", "kill"], check=True)
    print("    the controller was killed", flush=True)
    follower = lab.start(*lab.sweep())
    time.sleep(3)
    subprocess.run([HERE / "slurm-node.sh", "start"], check=True)
    print("    the controller was started again", flush=True)
    output, _ = follower.communicate()
    if follower.returncode != 0:  # the scheduler did not answer, which the same command meets again
        print("".join(f"    {line}\n" for line in output.splitlines()), end="")
        output = lab.run(*lab.sweep())
    print("".join(f"    {line}\n" for line in output.splitlines()), end="", flush=True)
    counts = lab.attempts().values()
    print(f"    {sum(count == 1 for count in counts)} of {len(counts)} runs were begun once", flush=True)
    lab.equal_tables()


def failing_tasks(lab: Lab) -> None:
    """One task exits with code 7 before its runs begin; two pretend GPUs are handed out."""
    once = '[ "$SLURM_ARRAY_TASK_ID" = 2 ] && mkdir failed-once 2>/dev/null && exit 7'
    lab.profile(gres="gpu:1", lines=[f"cd {lab.folder}", 'echo "$CUDA_VISIBLE_DEVICES" >> gpus', once])
    output = lab.run(*lab.sweep())
    assert "submitted again" in output, output
    gpus = set((lab.folder / "gpus").read_text().split())
    assert gpus == {"0", "1"}, gpus
    print("    tasks saw GPU 0 and GPU 1", flush=True)
    lab.equal_tables()


def cancelled(lab: Lab) -> None:
    """Pending and running tasks are cancelled: by `hashlab cancel`, one run and all, and by scancel."""
    lab.profile(max_running=2)
    lab.run(*lab.sweep("--detach"))
    until("two tasks run, others wait", lambda: len(tasks("RUNNING")) >= 2 and len(tasks("PENDING")) >= 2)
    until("a run has begun", lambda: len(lab.attempts()) >= 2)
    running = sorted(lab.attempts())[0]
    waiting = [run for run in ids(lab) if run not in lab.attempts()][-1]
    lab.run("--runs", "cluster", "cancel", "tiny", "--run", running, "--run", waiting)
    until("the running one stopped", lambda: f"{running}" not in held(lab), 60)
    print(slurm("squeue", "--array"), end="", flush=True)
    lab.run("--runs", "cluster", "status", "tiny")
    lab.run("--runs", "cluster", "cancel", "tiny")
    until("no task is left", lambda: not tasks("RUNNING,PENDING"), 60)
    lab.run("--runs", "cluster", "status", "tiny")
    follower = lab.start(*lab.sweep())
    until("two tasks run, others wait", lambda: len(tasks("RUNNING")) >= 2 and len(tasks("PENDING")) >= 1)
    victims = [tasks("RUNNING")[0], tasks("PENDING")[-1]]
    print(f"    $ scancel {' '.join(victims)}", flush=True)
    slurm("scancel", *victims)
    output, _ = follower.communicate()
    print("".join(f"    {line}\n" for line in output.splitlines()), end="", flush=True)
    assert follower.returncode == 0 and "submitted again" in output, (follower.returncode, output)
    lab.equal_tables()


def warned(lab: Lab) -> None:
    """Tasks get the signal that warns of a time limit; their runs leave checkpoints and go on in others. Ctrl-C leaves
    jobs running, `--detach` and `status --resubmit` need no process that waits."""
    lab.profile(runs_per_task=2, jobs=2)
    follower = lab.start(*lab.sweep())
    until("runs have begun", lambda: len(lab.attempts()) >= 2)
    for task in tasks("RUNNING"):
        slurm("scancel", "--signal=USR1", "--batch", task)
    follower.send_signal(signal.SIGINT)
    output, _ = follower.communicate()
    print("".join(f"    {line}\n" for line in output.splitlines()), end="", flush=True)
    assert follower.returncode == 130 and "hashlab cancel tiny" in output, (follower.returncode, output)
    until("no task is left", lambda: not tasks("RUNNING,PENDING,COMPLETING"), 120)
    lab.run("--runs", "cluster", "status", "tiny", "--resubmit")
    until("no task is left", lambda: not tasks("RUNNING,PENDING,COMPLETING"), 240)
    lab.run("--runs", "cluster", "status", "tiny")
    assert max(lab.attempts().values()) >= 2, lab.attempts()
    table = next((lab.folder / "cluster" / "sweeps" / "tiny").glob("*/table.md"), None)
    assert table is not None, "the job behind the arrays wrote no table"
    lab.equal_tables()


def write_array(path: Path, kind: str, sizes: tuple, value: bytes) -> None:
    """Writes a .npy file of equal elements."""
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {sizes}, }}".ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + value * math.prod(sizes))


def fail_fast(lab: Lab) -> None:
    """The first failure cancels tasks that wait and runs that go on; without the flag, the same command executes the
    rest."""
    (lab.folder / "alike").mkdir()
    write_array(lab.folder / "alike/features.npy", "<f4", (40, 16), struct.pack("<f", 1))
    write_array(lab.folder / "alike/labels.npy", "<i8", (40,), struct.pack("<q", 0))
    lab.profile(runs_per_task=1, max_running=2)
    output = lab.run(*lab.sweep("--fail-fast"), code=3)
    assert "stopping after" in output and "the other runs are cancelled" in output, output
    until("no task is left", lambda: not tasks("RUNNING,PENDING,COMPLETING"), 60)
    status = lab.run("--runs", "cluster", "status", "tiny")
    assert "cancelled" in status and "failed" in status, status
    assert "`hashlab sweep tiny.toml --executor slurm --slurm slurm.toml` executes what is left" in status, status
    output = lab.run(*lab.sweep(), code=3)
    assert "2 finished, 2 failed of 4 runs" in output, output
    lab.equal_tables(code=3)


def halving(lab: Lab) -> None:
    """Runs are stopped early: rungs are arrays one after the other."""
    lab.profile(runs_per_task=3)
    output = lab.run(*lab.sweep())
    assert "stopped early" in output, output
    assert sorted(lab.attempts().values()) == [1] * 6 + [2] * 2 + [3], lab.attempts()
    lab.equal_tables()


def tpe(lab: Lab) -> None:
    """Trials follow from results: the same command submits generation after generation."""
    lab.profile(runs_per_task=5)
    for left in (4, 2, 0):
        output = lab.run(*lab.sweep())
        assert (f"{left} trials left: the same command submits the next ones" in output) == (left > 0), output
    assert lab.finished() == 14, lab.finished()
    lab.equal_tables()


def time_limit(lab: Lab) -> None:
    """A task reaches Slurm's time limit of a minute; its run goes on in another."""
    lab.profile(time="1", warning=30, runs_per_task=6, jobs=1)
    lab.run(*lab.sweep())
    again = {run: count for run, count in lab.attempts().items() if count > 1}
    assert again, "no run was interrupted by the time limit"
    print(f"    begun more than once: {again}", flush=True)
    lab.equal_tables()


def ids(lab: Lab) -> list[str]:
    lines = subprocess.run(
        [lab.program, "plan", "tiny.toml", "--format", "jsonl"], cwd=lab.folder, text=True, capture_output=True, check=True
    ).stdout
    return re.findall(r'"job":"([^"]+)","kind":"run"', lines)


def held(lab: Lab) -> str:
    """The runs that a process executes."""
    lines = subprocess.run(
        [lab.program, "--runs", "cluster", "plan", "tiny.toml"], cwd=lab.folder, text=True, capture_output=True, check=True
    ).stdout
    return "\n".join(line for line in lines.splitlines() if "  running " in line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", help="name of one scenario")
    args = parser.parse_args()
    root = Path(os.environ.get("SLURM_NODE", "/tmp/hashlab-slurm")) / "labs"
    epochs = "120" if args.short else "400"
    slow = SLOW.replace("EPOCHS", epochs)
    scenarios = [
        (failing_tasks, SLOW.replace("EPOCHS", "8")),
        (cancelled, slow),
        # Long enough that a fast machine has begun runs and not ended them when the signal comes.
        (warned, SLOW.replace("EPOCHS", "800")),
        (many_runs, MANY),
        (fail_fast, FAILING),
        (halving, HALVING),
        (tpe, TPE),
    ]
    if not args.short:
        scenarios.append((time_limit, SLOW.replace("EPOCHS", "700")))
    for scenario, experiment in scenarios:
        if args.only in (None, scenario.__name__):
            print(f"{scenario.__name__}: {' '.join(scenario.__doc__.split())}", flush=True)
            started = time.time()
            scenario(Lab(args.program.resolve(), root, scenario.__name__, experiment))
            print(f"  {scenario.__name__} passed in {time.time() - started:.0f} s\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
