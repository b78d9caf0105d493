"""Files under the directory of runs that are truncated, changed, removed, exchanged or dated wrongly."""

import os
import random
import re
import shutil
import time
from collections import defaultdict
from pathlib import Path

from lab import Bases, Lab
from processes import begin, jobs

# Codes of a sweep that meets damage: all is made again, or some runs fail, or the store cannot be used for now.
TOLERATED = (0, 2, 3)


def kind_of(path: Path) -> str:
    """Files of one purpose: checkpoints are named by their content."""
    return re.sub(r"-[0-9a-f]{12,}", "-DIGEST", path.name)


def files_by_kind(runs: Path) -> dict[str, list[Path]]:
    found = defaultdict(list)
    for folder, _, names in sorted(os.walk(runs)):
        for name in sorted(names):
            found[kind_of(Path(name))].append(Path(folder, name))
    return dict(sorted(found.items()))


def truncate(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randint(0, path.stat().st_size))


def empty(path: Path, rng: random.Random) -> None:
    os.truncate(path, 0)


def remove(path: Path, rng: random.Random) -> None:
    path.unlink()


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 8) if content else 0):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def blank(path: Path, rng: random.Random) -> None:
    """Zeros in a block, as a file system leaves them after a loss of power."""
    content = bytearray(path.read_bytes())
    if content:
        start = rng.randrange(len(content))
        end = min(len(content), start + rng.choice([1, 512, 4096, len(content)]))
        content[start:end] = bytes(end - start)
    path.write_bytes(content)


def extend(path: Path, rng: random.Random) -> None:
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.choice([1, 100, 5000])))


def replace(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.choice([b"garbage", b"{}", b"[]", b"null", b"\xff\xfe\x00", b"{" * 5000, rng.randbytes(300)]))


def exchange(path: Path, rng: random.Random) -> None:
    """The content of another file of the store."""
    others = [file for files in files_by_kind(path.parents[2]).values() for file in files]
    path.write_bytes(rng.choice(others).read_bytes() if others else b"")


DAMAGES = [truncate, truncate, empty, remove, flip, blank, extend, replace, exchange]

# What processes notice that use a file meanwhile. A bit that flips after a file was verified can be noticed by nobody.
DAMAGES_MEANWHILE = [truncate, empty, remove]


def damage(lab: Lab, rng: random.Random, damages) -> None:
    found = files_by_kind(lab.runs)
    if not found:
        return
    kind = rng.choice(list(found))
    path, how = rng.choice(found[kind]), rng.choice(damages)
    lab.note(f"  {how.__name__} {path.relative_to(lab.folder)}")
    try:
        how(path, rng)
        lab.met += 1
    except FileNotFoundError:  # removed meanwhile
        pass


def files_are_damaged(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Between two sweeps, some files are truncated, emptied, removed, changed, extended or exchanged."""
    begin(lab, rng, bases, "finished", "interrupted", "interrupted", "features")
    for _ in range(rng.randint(1, 5)):
        damage(lab, rng, DAMAGES)


def files_are_damaged_meanwhile(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """While a sweep runs, some files are truncated, emptied or removed."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    process = lab.start(lab.sweep(*jobs(rng)))
    for _ in range(rng.randint(1, 4)):
        if not lab.wait_for_moment(rng, process, bases.span / 2):
            break
        damage(lab, rng, DAMAGES_MEANWHILE)
    lab.end(process, TOLERATED)


def directories_are_removed(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Directories under the one of runs are removed, between two sweeps or meanwhile."""
    begin(lab, rng, bases, "finished", "interrupted", "features")
    process = lab.start(lab.sweep(*jobs(rng))) if rng.random() < 0.5 else None
    for _ in range(rng.randint(1, 3)):
        if process is not None and not lab.wait_for_moment(rng, process, bases.span / 2):
            break
        folders = sorted(Path(folder) for folder, _, _ in os.walk(lab.runs))
        if folders:
            folder = rng.choice(folders)
            lab.note(f"  removes {folder.relative_to(lab.folder)}")
            shutil.rmtree(folder, ignore_errors=True)
            lab.met += process is None
    if process is not None:
        lab.end(process, TOLERATED)


def times_are_wrong(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Files are dated into the past and the future, and some are damaged behind the back of their dates."""
    begin(lab, rng, bases, "finished", "interrupted", "features")
    for files in files_by_kind(lab.runs).values():
        for path in files:
            if rng.random() < 0.7:
                when = rng.choice([0, time.time() + rng.uniform(-4e8, 4e8), 4e9])
                os.utime(path, (when, when))
                lab.met = 1
    for _ in range(rng.randint(0, 2)):
        damage(lab, rng, DAMAGES)


KINDS = [files_are_damaged, files_are_damaged_meanwhile, directories_are_removed, times_are_wrong]
