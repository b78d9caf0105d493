"""A folder with an experiment, the program in it, and what a sweep found there."""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

# Six runs of three methods, and one of them with checkpoints; a second in all.
EXPERIMENT = """dataset = "shapes"
bits = [16]
seeds = [0, 1]

[data]
items = 200
size = 16

[image]
encoder = "convnet"
image_size = 16
views = 4

[train]
epochs = 60
batch_size = 32
validate_every = 20

[[method]]
name = "lsh"

[[method]]
name = "itq"

[[method]]
name = "cibhash"
"""
FILE, NAME = "tiny.toml", "tiny"

# After this long, a command hangs. The machine may be busy with other scenarios.
PATIENCE = 240

# What differs between repetitions of a run.
VARYING = re.compile(
    r'"seconds": \{[^}]*\},?|"attempts": \d+,?|"digest": "\w+",?|"(host|peak_rss_mib|threads)": "[^"]*",?'
)


class Failed(Exception):
    """What a scenario found wrong."""


class Lab:
    """A folder with the experiment; every command runs in it."""

    def __init__(self, program: Path, folder: Path):
        self.program, self.folder, self.runs = program, folder, folder / "runs"
        self.children: list[subprocess.Popen] = []
        self.log: list[str] = []  # what was done, for a failure's message
        self.met = 0  # disturbances that met what they were meant for
        self.left = 1.0  # share of a sweep's work that is left to do

    # States that scenarios begin with.

    def fresh(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / FILE).write_text(EXPERIMENT)

    def copy_of(self, base: Path) -> None:
        self.fresh()
        shutil.copytree(base, self.runs, symlinks=True)

    # Commands.

    def sweep(self, *more: str) -> tuple[str, ...]:
        return ("sweep", FILE, "--no-times", *more)

    def start(self, args: tuple[str, ...], limits: dict | None = None, closed: tuple = (), env: dict | None = None):
        """Starts the program as the leader of a process group, with limits of `resource` and closed descriptors."""

        def prepare() -> None:
            for limit, value in (limits or {}).items():
                resource.setrlimit(limit, (value, value))
            for descriptor in closed:
                os.close(descriptor)

        clean = {key: value for key, value in os.environ.items() if not key.startswith("HASHLAB_")}
        clean.pop("RAYON_NUM_THREADS", None)
        clean |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(self.folder / "huggingface")} | (env or {})
        limited = "".join(f" limit {name}={value}" for name, value in (limits or {}).items())
        self.note(f"$ hashlab {' '.join(args)}{limited}{f' closed {closed}' if closed else ''} {env or ''}".rstrip())
        output = (self.folder / f"output-{len(self.children)}").open("w+")
        process = subprocess.Popen(
            [str(self.program), *args], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, env=clean, preexec_fn=prepare, start_new_session=True,
        )
        process.output = output
        self.children.append(process)
        return process

    def end(self, process: subprocess.Popen, codes: tuple[int, ...]) -> str:
        """Waits for the end of a command, which must be by one of the exit codes; returns what it printed."""
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"no end within {PATIENCE} s") from None
        process.output.seek(0)
        printed = process.output.read()
        process.output.close()
        self.note(f"  ended with {code}")
        if code not in codes or "panicked" in printed:
            raise Failed(f"ended with {code}, expected one of {codes}, without a panic:\n{printed}")
        return printed

    def run(self, *args: str, codes: tuple[int, ...] = (0,), **how) -> str:
        return self.end(self.start(args, **how), codes)

    def output_of(self, *args: str) -> str:
        """The standard output of a command that succeeds."""
        command = [str(self.program), *args]
        done = subprocess.run(command, cwd=self.folder, text=True, capture_output=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise Failed(f"`hashlab {' '.join(args)}` ended with {done.returncode}: {done.stderr}")
        return done.stdout

    # What a sweep found.

    def findings(self) -> dict[str, object]:
        """The table, and the result of each run without what differs between repetitions."""
        found: dict[str, object] = {"table": self.output_of("table", NAME, "--no-times")}
        for path in sorted(self.runs.glob("store/??/*/result.json")):
            found[path.parent.name] = VARYING.sub("", path.read_text())
        return found

    def journals(self) -> dict[str, str]:
        return {path.parent.name: path.read_text() for path in self.runs.glob("store/??/*/metrics.jsonl")}

    # What is under way.

    def workers(self, process: subprocess.Popen) -> list[int]:
        """Processes that a command started and that live."""
        return [pid for pid in descendants(process.pid) if not is_zombie(pid)]

    def attempts(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self.runs.glob("store/??/*/attempts.jsonl"))

    def epochs(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self.runs.glob("store/??/*/metrics.jsonl"))

    def results(self) -> int:
        return len(list(self.runs.glob("store/??/*/result.json")))

    def note(self, line: str) -> None:
        self.log.append(line)

    def wait_for_moment(self, rng: random.Random, process: subprocess.Popen, span: float) -> bool:
        """Waits for a random moment of a sweep that takes `span` seconds. Returns whether the sweep still runs."""
        looks = {"attempts": (self.attempts, 6), "epochs": (self.epochs, 120), "results": (self.results, 5)}
        kind = rng.choice(["time", "time", *looks])
        if kind == "time":
            share, what = rng.uniform(0, 0.8) * self.left, "time"
            due = lambda started=time.monotonic(): time.monotonic() - started >= share * span
        else:
            look, most = looks[kind]
            wanted, what = look() + rng.randint(1, most), kind
            due = lambda: look() >= wanted
        while process.poll() is None:
            if due():
                self.note(f"  a moment by {what}")
                self.met += 1
                return True
            time.sleep(0.005)
        return False

    def close(self) -> None:
        """Ends what is left of the scenario's processes."""
        for process in self.children:
            for pid in [*descendants(process.pid), process.pid]:
                kill(pid, signal.SIGKILL)
            process.wait()


def descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [found for child in map(int, children) for found in (child, *descendants(child))]


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def kill(pid: int, number: int) -> bool:
    """Sends a signal; returns whether the process was there."""
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def until(what: str, look, seconds: float = 30) -> None:
    started = time.monotonic()
    while not look():
        if time.monotonic() - started > seconds:
            raise Failed(f"never came: {what}")
        time.sleep(0.01)


class Bases:
    """What undisturbed sweeps find, and states of the store that scenarios begin with."""

    def __init__(self, program: Path, folder: Path):
        self.folder = folder
        lab = Lab(program, folder / "undisturbed")
        lab.fresh()
        started = time.monotonic()
        lab.run(*lab.sweep("--jobs", "2"))
        self.span = time.monotonic() - started
        self.findings, self.journals = lab.findings(), lab.journals()
        if len(self.findings) != 7:
            raise Failed(f"the undisturbed sweep left {len(self.findings) - 1} results, not 6")
        features, interrupted = self._features(program), self._interrupted(program)
        self.states = {"finished": lab.runs, "features": features, "interrupted": interrupted}

    def _features(self, program: Path) -> Path:
        """Features of every run, and nothing else."""
        lab = Lab(program, self.folder / "features")
        lab.fresh()
        shutil.copytree(self.folder / "undisturbed" / "runs" / "cache", lab.runs / "cache")
        return lab.runs

    def _interrupted(self, program: Path) -> Path:
        """Two runs with checkpoints, four with results."""
        lab = Lab(program, self.folder / "interrupted")
        for _ in range(20):
            lab.fresh()
            process = lab.start(lab.sweep("--jobs", "2"))
            until("epochs", lambda: lab.epochs() > 25 or process.poll() is not None)
            process.send_signal(signal.SIGINT)
            lab.end(process, (0, 130))
            if len(list(lab.runs.glob("store/??/*/checkpoint-*"))) == 2:
                return lab.runs
        raise Failed("no sweep was interrupted with two checkpoints")
