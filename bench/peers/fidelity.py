"""Holds a method of hashlab against its peer.

fidelity.py steps TRACE                    the recorded steps again in PyTorch; fails where they differ
fidelity.py seeds TRACE FEATURES RESULTS   trainings of the peer's own beside hashlab's; fails where mAP may differ

TRACE and FEATURES are folders that `hashlab trace` and `hashlab features` wrote, RESULTS what `hashlab table --format
jsonl` printed.
"""

import json
import math
import pathlib
import statistics
import sys

import numpy
import torch

import draws
import training

LOSS_TOLERANCE = 1e-3  # relative, for every loss term of every step
UPDATE_TOLERANCE = 1e-4, 1e-2  # relative to the update's length: for the median step, and for every step
BUFFER_TOLERANCE = 1e-4  # relative, for what a step moves without a gradient, such as running moments
MAP_TOLERANCE = 0.01  # the confidence interval of the difference must lie within
CONFIDENCE = 0.95


def steps(folder):
    """Repeats the recorded steps and compares losses and updates."""
    trace = Trace(folder)
    print(f"{trace.config['method']}, {trace.config['bits']} bits, {trace.count} steps; torch {torch.__version__}")
    return all([from_the_same_weights(trace), left_alone(trace)])


def from_the_same_weights(trace):
    """Every step starts from hashlab's weights, with the optimizer state of the peer's own steps so far."""
    model, peer = trace.peer(torch.float32)
    trained = {name for name, _ in model.named_parameters()}
    judged = trained - set(getattr(model, "shifts", ()))
    worst, updates, buffers = {}, [], [0.0]
    for step in range(trace.count):
        before, after = trace.state(step), trace.state(step + 1)
        model.load_state_dict(before)
        for name, found in trace.repeat(peer, step, torch.float32).items():
            ours = trace.terms(step)[name]
            worst[name] = max(worst.get(name, (-1.0,)), (relative(ours, found), step + 1, ours, found))
        state = model.state_dict()
        updates.append(distance(judged, after, state) / distance(judged, after, before))
        buffers += [distance({name}, after, state) / length(after[name]) for name in after.keys() - trained]
    for name, (difference, step, ours, found) in worst.items():
        print(f"  {name}: {difference:.1e} apart at most, at step {step} (hashlab {ours:.7g}, PyTorch {found:.7g})")
    median, largest = statistics.median(updates), max(updates)
    print(f"  updates: {median:.1e} apart in the median, {largest:.1e} at most, at step {updates.index(largest) + 1}")
    if after.keys() - trained:
        print(f"  tensors without a gradient: {max(buffers):.1e} apart at most")
    return (
        all(difference <= LOSS_TOLERANCE for difference, *_ in worst.values())
        and median <= UPDATE_TOLERANCE[0]
        and largest <= UPDATE_TOLERANCE[1]
        and max(buffers) <= BUFFER_TOLERANCE
    )


def left_alone(trace):
    """All steps from the first one's weights; beside it PyTorch in double precision, and from weights with an error.

    Where a method takes signs, a unit's output stands at 0, or steps enlarge differences, rounding decides about later
    steps, and from then on no two computations agree. PyTorch beside itself tells how far 100 steps can be repeated.
    """
    (_, single), (_, double), (other, shifted) = map(trace.peer, (torch.float32, torch.float64, torch.float32))
    round_once(other, torch.Generator().manual_seed(0))
    apart, exact, rounded = [], [], []
    for step in range(trace.count):
        found = trace.repeat(single, step, torch.float32)["loss"]
        apart.append(relative(trace.terms(step)["loss"], found))
        exact.append(relative(found, trace.repeat(double, step, torch.float64)["loss"]))
        rounded.append(relative(found, trace.repeat(shifted, step, torch.float32)["loss"]))
    print(f"  left alone: losses {max(apart):.1e} apart at most, {first_above(apart)}")
    print(f"    PyTorch from itself in double precision: {max(exact):.1e}, {first_above(exact)}")
    print(f"    PyTorch from itself with weights rounded once more: {max(rounded):.1e}, {first_above(rounded)}")
    return max(apart) <= LOSS_TOLERANCE or max(*exact, *rounded) > LOSS_TOLERANCE


@torch.no_grad()
def round_once(model, generator):
    """Gives weights an error of the size of single precision's rounding."""
    for weights in model.parameters():
        weights *= 1 + 2**-24 * torch.randn(weights.shape, generator=generator)


def first_above(differences, bound=1e-5):
    step = next((step for step, difference in enumerate(differences) if difference > bound), None)
    return f"never above {bound:.0e}" if step is None else f"above {bound:.0e} from step {step + 1}"


def relative(a, b):
    return abs(a - b) / max(abs(a), abs(b), 1e-30)


def length(tensor):
    return max(tensor.norm().item(), 1e-30)


def distance(names, first, second):
    return math.sqrt(sum((first[name] - second[name]).square().sum().item() for name in names))


class Trace:
    """What `hashlab trace` wrote."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.content = json.loads((self.folder / "trace.json").read_text())
        # The configuration leaves defaults out; these parts are complete.
        complete = {part: self.content[part] for part in ("train", "params")}
        self.config, self.count = {**self.content["config"], **complete}, len(self.content["steps"])

    def terms(self, step):
        return self.content["steps"][step]["terms"]

    def repeat(self, peer, step, dtype):
        """A step of the peer with the recorded views, labels if the method saw any, and draws."""
        views, labels = self.recorded(step, "view_*", dtype), self.recorded(step, "labels", dtype)
        with draws.repeated(self.recorded(step, "draw_*", dtype)):
            return peer(views, labels[0] if labels else None)

    def recorded(self, step, what, dtype):
        return [tensor(path).to(dtype) for path in sorted(self.folder.glob(f"steps/{step:05}_{what}.npy"))]

    def state(self, step):
        """The method's tensors before a step; after the last one for the step that would follow."""
        return {path.stem: tensor(path) for path in (self.folder / f"states/{step:05}").glob("*.npy")}

    def peer(self, dtype):
        """The peer and its training, at the weights before the first step."""
        views = self.recorded(0, "view_*", dtype)
        model = training.build(self.config, {name: view.shape[1] for name, view in zip(self.content["views"], views)})
        model.load_state_dict(self.state(0))
        model.to(dtype)
        return model, training.Steps(model, self.config, self.content["training_items"])


def tensor(path):
    return torch.from_numpy(numpy.load(path))


def seeds(trace, features, results):
    """Trains the peer once per run of hashlab and compares the mean mAP."""
    config = Trace(trace).config
    runs = [json.loads(line) for line in pathlib.Path(results).read_text().splitlines()[1:]]
    finished = {run["seed"]: run["outcome"]["finished"] for run in runs if "finished" in run["outcome"]}
    if missing := [run["run"] for run in runs if run["seed"] not in finished]:
        sys.exit(f"no result of {', '.join(missing)}")
    data = training.Data(features)
    ours, theirs = {}, {}
    for seed, result in finished.items():
        scores = {task: found["metrics"]["map_at_k"] for task, found in result["test"].items()}
        mine, selected = training.train(config, data, seed, list(scores))
        cells = [f"{task} hashlab {score:.4f}, PyTorch {mine[task]:.4f}" for task, score in scores.items()]
        print(f"seed {seed}: {'; '.join(cells)} (epochs {result['epoch']}, {selected})", flush=True)
        for task, score in scores.items():
            ours.setdefault(task, []).append(score)
            theirs.setdefault(task, []).append(mine[task])
    print("| method | task | bits | seeds | hashlab | PyTorch | difference | 95 % interval |")
    return all([compared(config, task, ours[task], theirs[task]) for task in ours])


def compared(config, task, first, second):
    """Prints a row of the table; whether the interval lies within the tolerance."""
    difference = statistics.mean(first) - statistics.mean(second)
    half = half_width(first, second)
    low, high = difference - half, difference + half
    cells = [
        config["method"],
        task,
        str(config["bits"]),
        str(len(first)),
        *(f"{statistics.mean(scores):.4f} ± {statistics.stdev(scores):.4f}" for scores in (first, second)),
        f"{difference:+.4f}",
        f"{low:+.4f} … {high:+.4f}",
    ]
    print(f"| {' | '.join(cells)} |   torch {torch.__version__}")
    return -MAP_TOLERANCE <= low and high <= MAP_TOLERANCE


def half_width(first, second):
    """Half of Welch's confidence interval of the difference of two means."""
    parts = [statistics.variance(scores) / len(scores) for scores in (first, second)]
    freedom = sum(parts) ** 2 / sum(part**2 / (len(s) - 1) for part, s in zip(parts, (first, second)))
    return quantile(0.5 + CONFIDENCE / 2, freedom) * math.sqrt(sum(parts))


def quantile(probability, freedom):
    """The quantile above 0 of Student's t: bisection on the integral of its density."""
    logarithm = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2

    def below(t):
        x = numpy.linspace(0, t, 10_001)
        return 0.5 + math.exp(logarithm) * numpy.trapezoid((1 + x * x / freedom) ** (-(freedom + 1) / 2), x)

    low, high = 0.0, 1_000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < probability else (low, middle)
    return high


if __name__ == "__main__":
    holds = {"steps": steps, "seeds": seeds}[sys.argv[1]](*sys.argv[2:])
    print("they agree" if holds else "THEY DIFFER")
    sys.exit(0 if holds else 1)
