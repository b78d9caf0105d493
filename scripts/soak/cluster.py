"""Sweeps on a Slurm cluster of one node, whose daemons, tasks and submitting processes are killed."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

from lab import Bases, Failed, Lab, is_zombie, kill, until

ROOT = Path(os.environ.get("SLURM_NODE", "/tmp/hashlab-slurm"))
NODE = os.uname().nodename.split(".")[0]
SCRIPT = Path(__file__).resolve().parent.parent / "slurm-node.sh"
PROFILE = 'cpus = 1\nmem = "200M"\ntime = "10"\nwarning = 60\nmax_running = 3\nruns_per_task = {pack}\n'


def slurm(*command: str) -> str:
    env = os.environ | {"SLURM_CONF": str(ROOT / "slurm.conf")}
    return subprocess.run(command, text=True, capture_output=True, env=env).stdout


def tasks(state: str) -> list[str]:
    """Tasks of arrays in a state, as `job_index`."""
    lines = slurm("squeue", "--noheader", "--array", "--states", state, "--format", "%F_%K").splitlines()
    return [line for line in lines if "N/A" not in line]


def begin(lab: Lab, rng: random.Random) -> None:
    lab.fresh()
    (lab.folder / "slurm.toml").write_text(PROFILE.format(pack=rng.randint(1, 3)))


def submit(lab: Lab, *more: str) -> subprocess.Popen:
    command = lab.sweep("--executor", "slurm", "--slurm", "slurm.toml", *more)
    return lab.start(command, env={"SLURM_CONF": str(ROOT / "slurm.conf")})


def processes_of_runs(lab: Lab) -> list[int]:
    """Processes of this machine that tasks started for the lab."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(lab.runs).encode() in command and (b"exec" in command or b"worker" in command):
                found.append(int(entry.name))
    return found


def wait_in_queue(lab: Lab, rng: random.Random, process: subprocess.Popen) -> bool:
    """Waits for a random moment of a sweep on the cluster. Returns whether it still runs."""
    return lab.wait_for_moment(rng, process, 8)


def submitter_is_killed(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """The process that submits and follows is killed, several times in a row."""
    begin(lab, rng)
    for _ in range(rng.randint(1, 3)):
        process = submit(lab)
        if not wait_in_queue(lab, rng, process):
            break
        process.send_signal(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT]))
        process.wait(60)


def tasks_are_signalled(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Tasks are cancelled or get signals from Slurm, waiting ones included."""
    begin(lab, rng)
    process = submit(lab)
    for _ in range(rng.randint(1, 3)):
        if not wait_in_queue(lab, rng, process):
            break
        for task in rng.sample(found := tasks("RUNNING,PENDING"), min(len(found), rng.randint(1, 3))):
            how = rng.choice([[], ["--signal=KILL"], ["--signal=USR1", "--batch"], ["--signal=TERM"]])
            lab.note(f"  scancel {' '.join(how)} {task}")
            slurm("scancel", *how, task)
    lab.end(process, (0, 3))


def processes_of_tasks_are_killed(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Processes of tasks and of their runs are killed on the node."""
    begin(lab, rng)
    process = submit(lab)
    for _ in range(rng.randint(1, 3)):
        if not wait_in_queue(lab, rng, process):
            break
        for pid in rng.sample(found := processes_of_runs(lab), min(len(found), rng.randint(1, 2))):
            kill(pid, signal.SIGKILL)
    lab.end(process, (0, 3))


def controller_is_killed(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """The controller is killed and started again, beside a sweep that follows its tasks."""
    begin(lab, rng)
    process = submit(lab)
    wait_in_queue(lab, rng, process)
    subprocess.run([SCRIPT, "kill"], check=True, capture_output=True)
    time.sleep(rng.random() * 3)
    if rng.random() < 0.5:
        process.kill()
    subprocess.run([SCRIPT, "start"], check=True, capture_output=True)
    # A task whose end the controller had not stored counts as running until the node registers anew.
    restart_node_daemon()
    lab.end(process, (0, 2, 3, -signal.SIGKILL))


def restart_node_daemon(pause: float = 0) -> None:
    pid = int((ROOT / "slurmd.pid").read_text())
    kill(pid, signal.SIGKILL)
    until("the daemon's end", lambda: is_zombie(pid))
    time.sleep(pause)
    slurm("slurmd", "-N", NODE)


def node_daemon_is_killed(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """The daemon of the node is killed and started again; running tasks outlive it."""
    begin(lab, rng)
    process = submit(lab)
    wait_in_queue(lab, rng, process)
    restart_node_daemon(rng.random() * 3)
    lab.end(process, (0, 3))


def authentication_is_killed(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """The daemon by which Slurm's commands authenticate is killed and started again: no command answers meanwhile."""
    begin(lab, rng)
    process = submit(lab)
    wait_in_queue(lab, rng, process)
    for pid in map(int, subprocess.run(["pidof", "munged"], text=True, capture_output=True).stdout.split()):
        kill(pid, signal.SIGKILL)
    time.sleep(rng.random() * 3)
    if rng.random() < 0.5:
        process.kill()
        process.wait()
    subprocess.run(["runuser", "-u", "munge", "--", "munged", "--force"], check=True, capture_output=True)
    lab.end(process, (0, 2, 3, -signal.SIGKILL))


def finish(lab: Lab) -> str:
    """The same command again, after the disturbance."""
    if slurm("sinfo", "-h", "-o", "%T").strip() in ("", "down", "drained", "draining"):
        slurm("scontrol", "update", f"NodeName={NODE}", "State=RESUME")
    return lab.end(submit(lab), (0,))


def is_up() -> bool:
    return slurm("sinfo", "-h", "-o", "%T").strip() in ("idle", "mixed", "allocated")


def up() -> None:
    """Brings the cluster up, whatever an earlier scenario left of it."""
    if not is_up():
        done = subprocess.run([SCRIPT, "up"], text=True, capture_output=True)
        if done.returncode != 0:
            raise Failed(f"the cluster does not come up: {done.stderr}")


def can_be_brought_up() -> bool:
    """Daemons and pretended GPUs need root and device files."""
    probe = Path(f"/tmp/soak-probe-{os.getpid()}")
    made = os.geteuid() == 0 and subprocess.run(["mknod", probe, "c", "1", "3"], capture_output=True).returncode == 0
    probe.unlink(missing_ok=True)
    return made and Path("/etc/debian_version").exists()


KINDS = [
    submitter_is_killed, tasks_are_signalled, processes_of_tasks_are_killed, controller_is_killed,
    node_daemon_is_killed, authentication_is_killed,
]
