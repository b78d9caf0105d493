"""The protocol of the benchmarks: for each number read, do the work that often and print the seconds."""

import sys
import time


def serve(work):
    """Answers each line `N` with `SECONDS VALUE`; `work(n)` returns a number to compare, or None."""
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        value = work(int(line))
        seconds = time.perf_counter() - start
        print(seconds, "nan" if value is None else value, flush=True)
