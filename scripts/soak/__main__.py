"""Sweeps under faults: whatever is done to one, the same command finishes it and finds what an undisturbed one finds.

    just soak                                     # 500 scenarios of seed 0, those on a Slurm cluster included
    just soak --scenarios 50 --short              # what CI runs: without a cluster
    just soak --seed 3 --only 117                 # one scenario again, whose commands are printed

A scenario is a function of the seed and its number: the kind of fault, its parameters and the moments at which it
comes. A moment is a share of the time of an undisturbed sweep, or a count of attempts, epochs or results, so that one
on a busier machine comes a little earlier or later. After the faults, the same sweep is given once more without any. It
must end with exit code 0, print the table of the undisturbed sweep, and leave its results bit for bit.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cluster
import files
import places
import processes
from lab import Bases, Failed, Lab

# Each kind of fault on this machine comes this often for each one on the cluster, which takes longer.
LOCAL_ROUNDS = 12


def kinds(short: bool) -> list:
    """The kinds of faults in the order in which scenarios take them."""
    local = [*processes.KINDS, *files.KINDS, *places.MOUNTS, *places.LIMITS, *places.CLOCKS]
    return local if short else [*local * LOCAL_ROUNDS, *cluster.KINDS]


def impossible() -> dict:
    """Kinds that this machine cannot have, with the reason."""
    found = {}
    if not places.can_mount():
        found |= dict.fromkeys(places.MOUNTS, "mounting needs root")
    if not places.FAKETIME.exists():
        found |= dict.fromkeys(places.CLOCKS, "Debian's package libfaketime is absent")
    if not cluster.can_be_brought_up():
        found |= dict.fromkeys(cluster.KINDS, "a cluster needs Debian, root and device files")
    return found


def scenario(kind, lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Disturbs a sweep, finishes it, and compares what it found."""
    try:
        if kind in cluster.KINDS:
            cluster.up()
        kind(lab, rng, bases)
        finish = cluster.finish if kind in cluster.KINDS else lambda lab: lab.run(*lab.sweep("--jobs", "2"))
        printed = finish(lab)
        if bases.findings["table"] not in printed:
            raise Failed(f"the table differs:\n{printed}\nundisturbed:\n{bases.findings['table']}")
        found = lab.findings()
        wrong = [name for name in bases.findings if found.get(name) != bases.findings[name]]
        if wrong or len(found) != len(bases.findings):
            raise Failed(f"results differ: {wrong}; found {sorted(found)}")
        if kind in processes.KINDS and lab.journals() != bases.journals:
            raise Failed("the journals of epochs differ")
    finally:
        lab.close()


class Soak:
    def __init__(self, args: argparse.Namespace, folder: Path):
        self.args, self.folder = args, folder
        self.kinds, self.impossible = kinds(args.short), impossible()
        self.bases = Bases(args.program.resolve(), folder)
        self.counts, self.met, self.seconds = defaultdict(int), defaultdict(int), defaultdict(float)
        self.failures: list[tuple[int, str]] = []

    def one(self, index: int) -> None:
        kind = self.kinds[index % len(self.kinds)]
        if kind in self.impossible:
            return
        lab = Lab(self.args.program.resolve(), self.folder / f"scenario-{index}")
        started = time.monotonic()
        try:
            scenario(kind, lab, random.Random(f"{self.args.seed}/{index}"), self.bases)
            problem = None
        except (Failed, OSError, subprocess.SubprocessError) as error:
            problem = str(error) if isinstance(error, Failed) else traceback.format_exc()
        self.counts[kind] += 1
        self.met[kind] += lab.met > 0
        self.seconds[kind] += time.monotonic() - started
        if problem or self.args.only is not None:
            print("\n".join(f"    {line}" for line in lab.log), flush=True)
        if problem:
            self.failures.append((index, kind.__name__))
            short = " --short" if self.args.short else ""
            again = f"just soak --seed {self.args.seed}{short} --only {index}"
            print(f"FAILED: {kind.__name__}: {problem}\n    again: {again}\n    files: {lab.folder}", flush=True)
        elif self.args.only is None:
            shutil.rmtree(lab.folder, ignore_errors=True)

    def all(self) -> None:
        indices = range(self.args.scenarios) if self.args.only is None else [self.args.only]
        on_cluster = [index for index in indices if self.kinds[index % len(self.kinds)] in cluster.KINDS]
        with ThreadPoolExecutor(self.args.workers + 1) as pool:
            # There is one cluster, beside which the others go on.
            cluster_done = pool.submit(lambda: [self.one(index) for index in on_cluster])
            local = [pool.submit(self.one, index) for index in indices if index not in on_cluster]
            for done, future in enumerate(local, 1):
                future.result()
                if done % 25 == 0:
                    print(f"{done} of {len(local)} scenarios on this machine, {len(self.failures)} failed", flush=True)
            cluster_done.result()
        if on_cluster and cluster.can_be_brought_up():
            subprocess.run([cluster.SCRIPT, "down"], capture_output=True)

    def report(self, seconds: float) -> str:
        total = sum(self.counts.values())
        lines = [
            f"{total} scenarios of seed {self.args.seed}, {len(self.failures)} failed, in {seconds:.0f} s, "
            f"{self.args.workers} at once on {processor()}; an undisturbed sweep took {self.bases.span:.1f} s.\n",
            "| Fault | Scenarios | with a fault that met its target | failed | s each |",
            "|---|---:|---:|---:|---:|",
        ]
        for kind in dict.fromkeys(self.kinds):
            said = " ".join(kind.__doc__.split()).rstrip(".")
            failed = sum(name == kind.__name__ for _, name in self.failures)
            if kind in self.impossible:
                lines.append(f"| {said} | skipped: {self.impossible[kind]} | | | |")
            elif count := self.counts[kind]:
                lines.append(f"| {said} | {count} | {self.met[kind]} | {failed} | {self.seconds[kind] / count:.1f} |")
        return "\n".join(lines) + "\n"


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'an unknown processor'}, {len(os.sched_getaffinity(0))} cores"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--scenarios", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="without a Slurm cluster")
    parser.add_argument("--only", type=int, help="the number of one scenario, whose files are kept")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="scenarios at once")
    parser.add_argument("--report", type=Path, help="file for the report")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hashlab-soak-"))
    started = time.monotonic()
    soak = Soak(args, folder)
    soak.all()
    text = soak.report(time.monotonic() - started)
    print(text, flush=True)
    if args.report:
        args.report.write_text(text)
    if not soak.failures and args.only is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
