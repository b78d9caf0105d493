"""Places and limits: full and read-only disks, few descriptors, little memory, wrong clocks."""

import os
import random
import resource
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

from files import TOLERATED, damage, truncate
from lab import Bases, Lab, kill, until
from processes import begin, jobs

# Debian's package libfaketime, which changes what a process takes for the time.
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


def mount(*args: object) -> None:
    subprocess.run(["mount", *map(str, args)], check=True, capture_output=True)


@contextmanager
def small_disk(lab: Lab, options: str):
    """A disk in memory in the place of the directory of runs, which keeps its content."""
    before = lab.folder / "before"
    if lab.runs.exists():
        lab.runs.rename(before)
    lab.runs.mkdir()
    mount("-t", "tmpfs", "-o", options, "tmpfs", lab.runs)
    try:
        if before.exists():
            subprocess.run(["cp", "-a", f"{before}/.", str(lab.runs)], capture_output=True)
        yield
    finally:
        after = lab.folder / "after"
        shutil.copytree(lab.runs, after, symlinks=True)
        subprocess.run(["umount", "--lazy", str(lab.runs)], check=True)
        lab.runs.rmdir()
        after.rename(lab.runs)


def is_remounted(folder: Path) -> bool:
    """Whether a mount could be made read-only."""
    return subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], capture_output=True).returncode == 0


@contextmanager
def read_only(lab: Lab, folder: Path):
    """A directory that nobody can write, root included, by a mount on itself."""
    mount("--bind", folder, folder)
    try:
        # Refused while a file is being written there.
        until("a moment without a writer", lambda: is_remounted(folder))
        lab.note(f"  {folder.relative_to(lab.folder)} is read-only")
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def disk_is_full(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """The directory of runs lies on a disk with little room, or few inodes, in which a sweep and its repetition run."""
    begin(lab, rng, bases, "nothing", "nothing", "features", "interrupted")
    size = int(4096 * 2 ** rng.uniform(1, 9))
    options = f"size={size}" if rng.random() < 0.8 else f"size=64m,nr_inodes={rng.randint(2, 80)}"
    lab.note(f"  a disk with {options}")
    with small_disk(lab, options):
        for _ in range(rng.randint(1, 2)):
            lab.run(*lab.sweep(*jobs(rng)), codes=TOLERATED)
            lab.met += 1


def disk_fills(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Another file takes all room of the disk while a sweep runs."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    with small_disk(lab, "size=24m"):
        process = lab.start(lab.sweep(*jobs(rng)))
        ballast = lab.runs / "ballast"
        if lab.wait_for_moment(rng, process, bases.span):
            with ballast.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(1 << 12))
                except OSError:
                    pass
            if rng.random() < 0.3:
                process.kill()
                process.wait()
        if process.returncode is None:
            lab.end(process, TOLERATED)
        ballast.unlink(missing_ok=True)


def folders(lab: Lab) -> list[Path]:
    return sorted(Path(folder) for folder, _, _ in os.walk(lab.runs))


def directory_is_read_only(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """A directory under the one of runs is read-only: for a whole sweep."""
    begin(lab, rng, bases, "features", "interrupted", "interrupted")
    with read_only(lab, rng.choice(folders(lab))):
        lab.run(*lab.sweep(*jobs(rng)), codes=TOLERATED)
        lab.met += 1


def directory_becomes_read_only(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """A directory under the one of runs becomes read-only while a sweep runs."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    process = lab.start(lab.sweep(*jobs(rng)))
    if lab.wait_for_moment(rng, process, bases.span):
        with read_only(lab, rng.choice(folders(lab) or [lab.folder])):
            lab.end(process, TOLERATED)
    else:
        lab.end(process, (0,))


def descriptors_are_few(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Processes may open few files at once, some of them too few to begin."""
    begin(lab, rng, bases, "nothing", "features", "interrupted", "finished")
    for _ in range(rng.randint(1, 2)):
        limits = {resource.RLIMIT_NOFILE: rng.randint(4, 40)}
        # With too few, the loader of programs cannot open libraries: 127.
        lab.run(*lab.sweep(*jobs(rng)), codes=(*TOLERATED, 1, 127), limits=limits)
        lab.met += 1


def descriptors_are_closed(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """The sweep is started without standard input, output or error."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    closed = tuple(descriptor for descriptor in (0, 1, 2) if rng.random() < 0.6)
    process = lab.start(lab.sweep(*jobs(rng)), closed=closed)
    lab.met += len(closed) > 0
    # A table that cannot be printed is no success.
    lab.end(process, (0, 1))


def files_may_not_grow(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Files are limited in size, as by `ulimit -f`."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    limits = {resource.RLIMIT_FSIZE: int(2 ** rng.uniform(4, 20))}
    # The table is printed into a file, too; one that cannot be printed is no success.
    lab.run(*lab.sweep(*jobs(rng)), codes=(*TOLERATED, 1), limits=limits)
    lab.met += 1


def memory_is_short(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Processes may reserve little memory, so that allocations fail in the sweep or in runs."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    limits = {resource.RLIMIT_AS: int(rng.uniform(60, 500)) << 20}
    process = lab.start(lab.sweep(*jobs(rng)), limits=limits)
    lab.met += 1
    process.wait(200)
    lab.note(f"  ended with {process.returncode}")


def clock_is_wrong(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Sweeps are killed one after the other, each with a clock that is days or years off."""
    begin(lab, rng, bases, "nothing", "features", "interrupted", "finished")
    for _ in range(rng.randint(1, 3)):
        offset = f"{rng.choice('+-')}{int(10 ** rng.uniform(1, 9))}"
        env = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": offset, "DONT_FAKE_MONOTONIC": "1"}
        process = lab.start(lab.sweep(*jobs(rng)), env=env)
        if lab.wait_for_moment(rng, process, bases.span):
            kill(process.pid, rng.choice([signal.SIGKILL, signal.SIGINT]))
        lab.end(process, (*TOLERATED, 130, -9, -2))
        if rng.random() < 0.3:
            damage(lab, rng, [truncate])


def can_mount() -> bool:
    if os.geteuid() != 0:
        return False
    mounted = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True)
    return mounted.returncode == 0


MOUNTS = [disk_is_full, disk_fills, directory_is_read_only, directory_becomes_read_only]
LIMITS = [descriptors_are_few, descriptors_are_closed, files_may_not_grow, memory_is_short]
CLOCKS = [clock_is_wrong]
