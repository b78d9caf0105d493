"""The time that orchestration takes beside Hydra's basic and joblib launchers: `just bench overhead`.

Three programs start the same number of trivial runs in turn, and one expands a million points. Hydra and its launcher
are installed from PyPI into an environment of their own. Hydra's basic launcher calls a function in its own process, one
after the other; joblib's calls it in a pool of processes. hashlab starts a process per run, so that a crash costs one
run: what such a process takes by itself is measured, and what is beyond it is the orchestration's.
"""

import pathlib
import shutil
import statistics
import subprocess
import sys
import time

PACKAGES = ["hydra-core==1.3.8", "hydra-joblib-launcher==1.2.0"]

# The function that Hydra calls; its work is none.
APP = '''import hydra
@hydra.main(version_base=None)
def run(config):
    pass
run()
'''

EXPERIMENT = """dataset = "shapes"
bits = [{bits}]
seeds = {seeds}

[data]
items = 60
size = 16

[image]
image_size = 16

[eval]
map_at = 5

[[method]]
name = "{method}"
{grid}
"""


def environment(folder: pathlib.Path) -> pathlib.Path:
    """A Python with Hydra."""
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def timed(command: list, cwd: pathlib.Path) -> float:
    started = time.monotonic()
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return time.monotonic() - started


def hydra(python: pathlib.Path, folder: pathlib.Path, runs: int, jobs: int) -> dict:
    (folder / "app.py").write_text(APP)
    seeds = f"+seed=range({runs})"
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
    joblib = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={jobs}"]
    times = {}
    for name, launcher in {"basic": [], "joblib": joblib}.items():
        shutil.rmtree(folder / "multirun", ignore_errors=True)
        times[name] = timed([python, "app.py", "--multirun", seeds, *quiet, *launcher], folder)
    return times


def hashlab(program: pathlib.Path, folder: pathlib.Path, runs: int, jobs: int) -> tuple[float, float]:
    """Seconds of a sweep of trivial runs, and of one process of such a run by itself."""
    (folder / "trivial.toml").write_text(EXPERIMENT.format(bits=8, seeds=list(range(runs)), method="lsh", grid=""))
    shutil.rmtree(folder / "runs", ignore_errors=True)
    # The features are there, as in the middle of a sweep.
    timed([program, "sweep", "trivial.toml", "--set", f"seeds=[{runs}]", "--keep", "none"], folder)
    whole = timed([program, "sweep", "trivial.toml", "--jobs", jobs, "--keep", "none"], folder)
    return whole, process(program, folder, jobs)


def process(program: pathlib.Path, folder: pathlib.Path, jobs: int) -> float:
    """Median seconds of a process that executes one of the runs, with as many others beside it as in the sweep."""
    configs = sorted(folder.glob("runs/store/*/*/config.json"))[: 40 * jobs]
    for config in configs:
        (config.parent / "result.json").unlink()
    times = []
    for start in range(0, len(configs), jobs):
        started = time.monotonic()
        command = [program, "worker", "--keep", "none"]
        group = [subprocess.Popen([*command, config.parent.name], cwd=folder, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) for config in configs[start : start + jobs]]
        if any(one.wait() != 0 for one in group):
            sys.exit("a process of a run failed")
        times.append(time.monotonic() - started)
    return statistics.median(times)


def expansion(program: pathlib.Path, folder: pathlib.Path) -> dict:
    """Seconds in which the points of experiments are expanded and counted, by their description."""
    taus, betas = ([round(start + step * at, 6) for at in range(100)] for start, step in ((0.1, 1e-3), (1e-3, 1e-4)))
    shapes = {
        "10,000 points of a grid × 100 seeds": (f"grid = {{ tau = {taus}, beta = {betas} }}", 100),
        "100 points of a grid × 10,000 seeds": (f"grid = {{ tau = {taus} }}", 10_000),
    }
    times = {}
    for name, (grid, seeds) in shapes.items():
        file = folder / "million.toml"
        file.write_text(EXPERIMENT.format(bits=16, seeds=list(range(seeds)), method="cibhash", grid=grid))
        command = [program, "plan", file, "--format", "count"]
        counted = subprocess.run(command, capture_output=True, text=True, check=True)
        if counted.stdout.strip() != "1000000":
            sys.exit(f"{name} are {counted.stdout} runs")
        times[name] = min(timed(command, folder) for _ in range(3))
    return times


def main(program: pathlib.Path, work: pathlib.Path, runs: int = 1000, jobs: int = 2) -> pathlib.Path:
    """Prints the tables; returns the Python with the peers."""
    folder = work / "overhead"
    folder.mkdir(parents=True, exist_ok=True)
    python = environment(folder)
    whole, alone = hashlab(program, folder, runs, jobs)
    others = hydra(python, folder, runs, jobs)
    per_run = lambda seconds: f"{1000 * seconds / runs:.1f} ms"
    print(f"| {runs:,} trivial runs | in all | a run | what a run is |\n|---|---|---|---|")
    beyond = 1000 * (whole / runs - alone / jobs)
    print(f"| hashlab, {jobs} at once | {whole:.1f} s | {per_run(whole)} | a process: {1000 * alone / jobs:.1f} ms, "
          f"and {beyond:.1f} ms beyond it |")
    print(f"| Hydra, basic launcher | {others['basic']:.1f} s | {per_run(others['basic'])} | a call in one process |")
    print(f"| Hydra, joblib launcher, {jobs} at once | {others['joblib']:.1f} s | {per_run(others['joblib'])} | "
          "a call in a process of a pool |")
    print("\n| expansion and count of a million runs | seconds |\n|---|---|")
    for name, seconds in expansion(program, folder).items():
        print(f"| {name} | {seconds:.2f} |")
    print(f"\npeers: {', '.join(PACKAGES)}")
    return python
