#!/usr/bin/env python3
"""Checks hashlab on a GPU: `just gpu-check`, or this file in the folder that `just gpu-pack` made, on a machine that has
neither Rust nor a network. With `--device cpu` the same checks run on the processor, but for those that need a GPU.

Needs the driver, and the CUDA libraries of a toolkit or of PyTorch's wheels; PyTorch only to compare times with. The
cheapest checks come first, each has a limit, and all have one together; what was found is printed at once and again at
the end. Exit codes: 0 all checks passed, 1 one failed or was not done, 2 there is no GPU that could be checked.
"""

import argparse
import ctypes
import json
import math
import os
import pathlib
import shutil
import site
import subprocess
import sys
import tempfile
import time

from gpu_correct import Checks
from gpu_process import Clock, Failed, Skipped
from gpu_times import Times

HERE = pathlib.Path(__file__).resolve().parent
LIBRARIES = ["libcublas.so.13", "libcublasLt.so.13", "libcudart.so.13", "libcurand.so.10"]

# Name, limit in seconds, whether it runs unless it is named.
LIMITS = [
    ("features agree with the processor", 30, True),
    ("golden values and conformance", 90, True),
    ("kernels with cudnn", 60, False),
    ("heads", 45, True),
    ("networks", 200, True),
    ("one run out of memory fails alone", 25, True),
    ("map agrees with the processor", 40, True),
    ("a killed sweep goes on", 60, True),
    ("runs share the device", 40, True),
    ("stacked runs are like single ones", 40, True),
    ("cudnn times", 150, False),
    ("fine tuning", 90, False),
    ("batches", 40, False),
    ("grid", 150, False),
    ("stacked grid", 240, False),
]


class Report:
    """What was found, told as it is found."""

    def __init__(self, baseline):
        self.baseline, self.rows, self.measured, self.states = baseline, [], {}, []

    def say(self, text):
        self.rows.append(text)
        print(text, flush=True)

    def number(self, name, value, unit, remark):
        """Tells a measured number, and how it compares with an earlier one."""
        self.measured[name] = value
        words = [f"         {name}: {shown(value)} {unit}".rstrip()]
        earlier = self.baseline.get(name)
        if earlier and math.isfinite(earlier) and math.isfinite(value):
            words.append(f"{value / earlier:.2f} of {shown(earlier)} before")
        if remark:
            words.append(remark)
        self.say("; ".join(words))

    def state(self, state, name, seconds, detail):
        self.states.append(state)
        first, *rest = detail.splitlines() or [""]
        self.say(f"{state:8} {name}, {seconds:.0f} s{': ' if first else ''}{first}")
        for line in rest:
            self.say(" " * 9 + line)


def shown(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def run(report, checks, times, words, minutes):
    """Runs the checks, each within its limit and all within so many minutes."""
    end = time.monotonic() + 60 * minutes
    for name, limit, usual in LIMITS:
        if not (any(word in name for word in words) if words else usual):
            continue
        start = time.monotonic()
        limit = min(limit, end - start)
        if limit < 1:
            report.state("NOT DONE", name, 0, f"the {minutes:g} minutes for all checks were over")
            continue
        try:
            state, detail = "ok", perform(report, checks, times, name, Clock(limit))
        except Skipped as reason:
            state, detail = "skipped", str(reason)
        except Failed as reason:
            state, detail = "FAILED", str(reason)
        report.state(state, name, time.monotonic() - start, detail)


def perform(report, checks, times, name, clock):
    """Performs a check or a measurement; returns what a check found."""
    method = name.replace(" ", "_")
    if hasattr(checks, method):
        return getattr(checks, method)(clock)
    try:
        for row in getattr(times, method)(clock):
            report.number(*row)
    finally:
        times.stop()
    return ""


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


def machine(device):
    """What the numbers were measured on."""
    if device == "cpu":
        return f"the processor, {os.cpu_count()} cores"
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,utilization.gpu", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip().replace("\n", "; ")
    except (OSError, subprocess.TimeoutExpired):
        answer = "nvidia-smi says nothing"
    return f"{device}: {answer}; {os.cpu_count()} cores"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only checks whose name contains one of these, e.g. heads grid")
    parser.add_argument("--device", default="cuda:0", help="what to check [default: cuda:0]")
    parser.add_argument("--pack", type=pathlib.Path, default=HERE, help="the folder that `just gpu-pack` made")
    parser.add_argument("--minutes", type=float, default=5, help="how long all checks may take [default: 5]")
    parser.add_argument("--write", type=pathlib.Path, help="write the measured numbers to this file")
    parser.add_argument("--baseline", type=pathlib.Path, help="compare with the numbers of such a file")
    arguments = parser.parse_args()
    pack = arguments.pack.resolve()
    names = [name for name, _, _ in LIMITS]
    for word in arguments.words:
        if not any(word in name for name in names):
            parser.error(f"no check has `{word}` in its name; there are {', '.join(names)}")
    if not (pack / "bin" / "hashlab").exists():
        parser.error(f"{pack} holds no bin/hashlab: `just gpu-pack` makes the folder")
    if arguments.device != "cpu":
        need_gpu()
        if place := find_libraries():
            os.environ["LD_LIBRARY_PATH"] = f"{place}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")
    env = dict(os.environ, HASHLAB_LOG="warn")
    env.pop("HASHLAB_DEVICE", None)
    work = pathlib.Path(tempfile.mkdtemp(prefix="gpu-check-"))
    report = Report(json.loads(arguments.baseline.read_text()) if arguments.baseline else {})
    report.say(f"hashlab on {machine(arguments.device)}")
    try:
        common = (pack, arguments.device, env, work)
        run(report, Checks(*common), Times(*common), arguments.words, arguments.minutes)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if arguments.write:
            arguments.write.write_text(json.dumps(report.measured, indent=1, ensure_ascii=False) + "\n")
    print("\n" + "\n".join(report.rows))
    return 1 if any(state in ("FAILED", "NOT DONE") for state in report.states) else 0


if __name__ == "__main__":
    sys.exit(main())
