#!/usr/bin/env python3
"""Holds a method against an implementation of it in PyTorch: step by step, and over whole trainings.

Takes the experiment `bench/fidelity/METHOD.toml` and the peer `bench/peers/METHOD.py`. See docs/fidelity.md. Needs nothing
but the standard library; PyTorch is found or installed as for bench/compare.py.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

from compare import PEERS, ROOT, TARGET, note, python_with_torch, run


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["steps", "seeds"])
    parser.add_argument("method")
    parser.add_argument("--binary", type=pathlib.Path, default=TARGET / "release" / "hashlab")
    parser.add_argument("--jobs", type=int, default=1, help="runs of hashlab at once")
    options = parser.parse_args()
    options.experiment = ROOT / "bench" / "fidelity" / f"{options.method}.toml"
    options.work = TARGET / "fidelity" / options.method
    trace(options)
    files = [options.work / "trace"]
    if options.what == "seeds":
        files += [export(options), results(options)]
    command = [python_with_torch(), PEERS / "fidelity.py", options.what, *files]
    sys.exit(subprocess.run(list(map(str, command)), env=dict(os.environ, OMP_NUM_THREADS="1")).returncode)


def trace(options):
    """Records the first steps; the peer reads the configuration off them."""
    shutil.rmtree(options.work / "trace", ignore_errors=True)
    note("recording steps")
    run([options.binary, "trace", options.experiment, "--out", options.work / "trace"])


def export(options):
    note("exporting features")
    run([options.binary, "features", options.experiment, "--out", options.work / "features"])
    return options.work / "features"


def results(options):
    """Executes the runs that have no result yet, and gathers all."""
    note("training with hashlab")
    run([options.binary, "sweep", options.experiment, "--jobs", options.jobs])
    command = [options.binary, "table", options.method, "--format", "jsonl"]
    text = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    path = options.work / "results.jsonl"
    path.write_text(text)
    return path


if __name__ == "__main__":
    main()
