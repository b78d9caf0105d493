"""Programs that scripts/gpu-check.py runs, each within what is left of a limit."""

import os
import select
import signal
import subprocess
import time


class Failed(Exception):
    """A check that did not hold, and why."""


class Skipped(Exception):
    """A check that says nothing here, and why."""


class OutOfTime(Failed):
    """A check that was not done within its limit."""


class Clock:
    """What is left of a limit."""

    def __init__(self, seconds):
        self.seconds, self.end = seconds, time.monotonic() + seconds

    def left(self):
        seconds = self.end - time.monotonic()
        if seconds <= 0:
            raise OutOfTime(f"not done after {self.seconds:.0f} s")
        return seconds

    def run(self, command, **options):
        """Runs a program to its end, or ends it and all that it started."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [str(part) for part in command]
        with subprocess.Popen(command, text=True, start_new_session=True, **pipes, **options) as program:
            try:
                out, error = program.communicate(timeout=self.left())
            except subprocess.TimeoutExpired:
                os.killpg(program.pid, signal.SIGKILL)
                program.wait()
                raise OutOfTime(f"not done after {self.seconds:.0f} s: {' '.join(command[:4])}") from None
        return subprocess.CompletedProcess(command, program.returncode, out, error)


class Served:
    """A workload that answers each number of iterations with its seconds."""

    def __init__(self, command, env):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen([str(part) for part in command], env=env, **pipes)
        self.heard, self.prepared = b"", None

    def line(self, clock):
        """The next line that the program writes; nothing where it ended."""
        out = self.process.stdout.fileno()
        while b"\n" not in self.heard:
            if not select.select([out], [], [], clock.left())[0]:
                continue
            more = os.read(out, 4096)
            if not more:
                return None
            self.heard += more
        line, _, self.heard = self.heard.partition(b"\n")
        return line.decode()

    def ready(self, clock):
        """Waits until the workload is prepared; whether it could be."""
        if self.prepared is None:
            self.prepared = self.line(clock) == "ready"
        return self.prepared

    def seconds(self, iterations, clock):
        try:
            self.process.stdin.write(f"{iterations}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(self.said()) from None
        line = self.line(clock)
        if line is None:
            raise Failed(self.said())
        return float(line.split()[0])

    def measure(self, clock, seconds=0.3, repetitions=4):
        """Seconds per iteration: the median of repetitions of about so many seconds, once kernels are loaded and chosen."""
        self.seconds(3, clock)
        once = self.seconds(3, clock) / 3
        count = max(1, int(seconds / once))
        measured = sorted(self.seconds(count, clock) / count for _ in range(repetitions))
        return (measured[(repetitions - 1) // 2] + measured[repetitions // 2]) / 2

    def said(self):
        """What the program wrote about its end."""
        self.process.kill()
        said = self.process.stderr.read().decode(errors="replace")
        # Not the lines of a backtrace.
        lines = [line for line in said.split("Stack backtrace")[0].splitlines() if line.strip()]
        return "\n".join(lines[-3:]) or "nothing was said"

    def close(self):
        """Ends it; also when it has ended."""
        self.process.kill()
        self.process.wait()
