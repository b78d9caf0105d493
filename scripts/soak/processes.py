"""Signals to runs, to the sweep that started them, and to all at once."""

import random
import signal
import time

from lab import FILE, Bases, Lab, is_zombie, kill, until

SIGNALS = [
    *[signal.SIGKILL] * 3, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSEGV, signal.SIGABRT, signal.SIGUSR1,
]


# The share of the work that is left in the states with which scenarios begin.
LEFT = {"nothing": 1.0, "features": 0.7, "interrupted": 0.4, "finished": 0.2}


def jobs(rng: random.Random) -> tuple[str, str]:
    return "--jobs", str(rng.randint(1, 3))


def begin(lab: Lab, rng: random.Random, bases: Bases, *states: str) -> None:
    state = rng.choice(states)
    lab.note(f"begins with: {state}")
    lab.left = LEFT[state]
    lab.fresh() if state == "nothing" else lab.copy_of(bases.states[state])


def runs_are_signalled(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Processes of runs and of feature extraction get signals, several in a row."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    for _ in range(rng.randint(1, 3)):
        process = lab.start(lab.sweep(*jobs(rng)))
        for _ in range(rng.randint(1, 3)):
            if not lab.wait_for_moment(rng, process, bases.span / 2):
                break
            number = rng.choice(SIGNALS)
            for pid in rng.sample(found := lab.workers(process), min(len(found), 1)):
                lab.note(f"  {number.name} to a worker")
                kill(pid, number)
        lab.end(process, (0, 3))


def sweep_is_killed(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """The sweep's own process is killed, several times in a row; its runs die with it."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    for _ in range(rng.randint(1, 4)):
        process = lab.start(lab.sweep(*jobs(rng)))
        if not lab.wait_for_moment(rng, process, bases.span):
            lab.end(process, (0,))
            return
        workers = lab.workers(process)
        process.kill()
        process.wait()
        lab.note(f"  the sweep was killed beside {len(workers)} workers")
        until("the workers died with their sweep", lambda: all(map(is_zombie, workers)), 20)


def sweep_is_asked_to_stop(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """The sweep gets SIGINT, SIGTERM or SIGHUP, once or twice, and ends with checkpoints."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    for _ in range(rng.randint(1, 3)):
        process = lab.start(lab.sweep(*jobs(rng)))
        if not lab.wait_for_moment(rng, process, bases.span):
            break
        for number in rng.choices([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], k=rng.randint(1, 2)):
            lab.note(f"  {number.name} to the sweep")
            process.send_signal(number)
            time.sleep(rng.random() * 0.1)
        # A signal before its handler is there ends the process by itself.
        lab.end(process, (0, 130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP))


def everything_is_killed(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """The sweep and its runs are killed at once, in any order, as the end of a machine does."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    for _ in range(rng.randint(1, 4)):
        process = lab.start(lab.sweep(*jobs(rng)))
        if not lab.wait_for_moment(rng, process, bases.span):
            lab.end(process, (0,))
            return
        victims = [process.pid, *lab.workers(process)]
        rng.shuffle(victims)
        for pid in victims:
            kill(pid, signal.SIGKILL)
        process.wait()


def one_of_two_sweeps_is_killed(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Two sweeps execute the same runs at once; one is killed, and the other brings all to the end."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    first = lab.start(lab.sweep(*jobs(rng)))
    time.sleep(rng.random() * bases.span / 2)
    second = lab.start(lab.sweep(*jobs(rng)))
    if lab.wait_for_moment(rng, first, bases.span):
        victim, other = rng.sample([first, second], 2)
        victim.kill()
        victim.wait()
        lab.end(other, (0,))
    else:
        lab.end(second, (0,))


def processes_are_frozen(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """The sweep or a run is stopped as by Ctrl-Z, then goes on or is killed."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    process = lab.start(lab.sweep(*jobs(rng)))
    for _ in range(rng.randint(1, 3)):
        if not lab.wait_for_moment(rng, process, bases.span / 2):
            break
        victims = [pid for pid in [process.pid, *lab.workers(process)] if rng.random() < 0.6]
        for pid in victims:
            kill(pid, signal.SIGSTOP)
        time.sleep(rng.random())
        for pid in victims:
            if pid != process.pid and rng.random() < 0.3:
                kill(pid, signal.SIGKILL)
            kill(pid, signal.SIGCONT)
    lab.end(process, (0, 3))


def commands_are_killed(lab: Lab, rng: random.Random, bases: Bases) -> None:
    """Runs are executed by several `hashlab exec` at once, as GNU parallel does; some are killed."""
    begin(lab, rng, bases, "nothing", "features", "interrupted")
    processes = []
    for index in rng.sample(range(6), rng.randint(2, 4)):
        processes.append(lab.start(("exec", FILE, "--index", str(index), "--jobs", "1")))
    for process in processes:
        if rng.random() < 0.6:
            if lab.wait_for_moment(rng, process, bases.span / 2):
                process.kill()
            process.wait()
    for process in processes:
        if process.returncode is None:
            lab.end(process, (0, 3))


KINDS = [
    runs_are_signalled, sweep_is_killed, sweep_is_asked_to_stop, everything_is_killed, one_of_two_sweeps_is_killed,
    processes_are_frozen, commands_are_killed,
]
