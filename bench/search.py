"""Compares the search by TPE with Optuna's and with chance, on functions that were tabulated on grids.

For each problem and seed, each side proposes trials one after the other and is told their values. The regret is the
distance of the best value found from the best of the table, as a share of the table's range.
"""

import csv
import itertools
import math
import pathlib
import random
import statistics
import subprocess
import sys

TRIALS = 60
SHOWN = (10, 20, 30, 40, 50, TRIALS)  # numbers of trials after which the regret is shown
SEEDS = 20
CIBHASH = pathlib.Path(__file__).parent / "search" / "cibhash_shapes.csv"


def grid(steps, function):
    """A function of numbers in [0, 1], at the middle of each step."""
    points = itertools.product(*(range(count) for count in steps))
    return steps, {point: function([(step + 0.5) / count for step, count in zip(point, steps)]) for point in points}


def branin(x):
    """Branin's function, negated; 2 axes, three equal optima."""
    a, b = 15 * x[0] - 5, 15 * x[1]
    square = (b - 5.1 * a * a / (4 * math.pi**2) + 5 * a / math.pi - 6) ** 2
    return -(square + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10)


def hartmann(x):
    """Hartmann's function of 3 axes, negated; four local optima."""
    weights = [1.0, 1.2, 3.0, 3.2]
    scales = [[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]]
    centers = [[0.3689, 0.1170, 0.2673], [0.4699, 0.4387, 0.7470], [0.1091, 0.8732, 0.5547], [0.03815, 0.5743, 0.8828]]
    terms = zip(weights, scales, centers)
    return sum(w * math.exp(-sum(s * (v - c) ** 2 for s, v, c in zip(row, x, at))) for w, row, at in terms)


def cibhash():
    """Validation mAP of CIBHash, one row per setting; see bench/search/cibhash_shapes.toml."""
    rows = list(csv.reader(line for line in CIBHASH.read_text().splitlines() if not line.startswith("#")))[1:]
    axes = [sorted({float(row[axis]) for row in rows}) for axis in range(len(rows[0]) - 1)]
    table = {tuple(axis.index(float(v)) for axis, v in zip(axes, row)): float(row[-1]) for row in rows}
    assert len(table) == math.prod(map(len, axes)), "every combination has a value"
    return [len(axis) for axis in axes], table


def ours(binary, generation):
    def search(steps, table, seed):
        command = [binary, seed, TRIALS, generation, *steps]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(list(map(str, command)), **pipes) as server:
            for line in server.stdout:
                value = table[tuple(map(int, line.split()))]
                yield value
                server.stdin.write(f"{value!r}\n")
                server.stdin.flush()
    return search


def chance(steps, table, seed):
    draw = random.Random(seed)
    for _ in range(TRIALS):
        yield table[tuple(draw.randrange(count) for count in steps)]


def optunas(steps, table, seed):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in range(TRIALS):
        trial = study.ask()
        value = table[tuple(trial.suggest_int(str(axis), 0, count - 1) for axis, count in enumerate(steps))]
        study.tell(trial, value)
        yield value


def regrets(search, steps, table):
    """The regret of each seed after each number of trials that is shown."""
    best, worst = max(table.values()), min(table.values())
    found = []
    for seed in range(SEEDS):
        values = list(search(steps, table, seed))
        assert len(values) == TRIALS
        found.append([(best - max(values[:count])) / (best - worst) for count in SHOWN])
    return list(zip(*found))


def mean(values):
    return f"{100 * statistics.mean(values):.2f} ± {100 * statistics.stdev(values) / math.sqrt(len(values)):.2f}"


def main(binary):
    problems = {
        "Branin, 51 × 51": grid([51, 51], branin),
        "Hartmann, 21 × 21 × 21": grid([21, 21, 21], hartmann),
        f"CIBHash on `shapes`, {' × '.join(str(count) for count in cibhash()[0])}": cibhash(),
    }
    searches = {
        "hashlab, one by one": ours(binary, 1),
        "hashlab, generations of 4": ours(binary, 4),
        "Optuna": optunas,
        "random": chance,
    }
    print(f"| problem | search | {' | '.join(map(str, SHOWN))} | Optuna's less ours |")
    print("|---" * (len(SHOWN) + 3) + "|")
    for problem, (steps, table) in problems.items():
        all_regrets = {name: regrets(search, steps, table) for name, search in searches.items()}
        for name, by_count in all_regrets.items():
            less = [theirs - own for theirs, own in zip(all_regrets["Optuna"][-1], by_count[-1])]
            cells = [*map(mean, by_count), "" if name == "Optuna" else mean(less)]
            print(f"| {problem} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
