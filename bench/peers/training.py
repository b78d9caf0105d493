"""Training in PyTorch as the configuration of one of hashlab's runs says, for any of the peers.

A peer is a module named as its method, with a class `Model(dims, bits, params)`, a `torch.nn.Module` whose parameters
and buffers have the names of the method's tensors; `dims` holds the length of features by modality:

* `views`: for each view of a step, the number of its transform, or a modality, for features without augmentation
* `samplers`: orders of the items that a step draws from
* `groups(learning_rate)`: parameter groups for `torch.optim`; or `updates(train)`: optimizers, their schedules that
  move with every step, and those that move with every epoch
* `losses(views, labels, step, steps)`: loss terms by name, `loss` being the total
* `encode(features)`: relaxed codes; of several modalities, `encode(features by modality, modality)`
* `end_epoch()`, if the end of an epoch changes something
* `shifts`: biases in front of a batch norm, if there are any. They move no loss: their gradients are rounding errors, of
  which Adam makes steps of full length
"""

import copy
import importlib
import math
import pathlib

import numpy
import torch

import experiment
import retrieval

SIDES = {"i": "image", "t": "text"}  # letters of a task


def build(config, dims):
    torch.set_num_threads(1)
    return importlib.import_module(config["method"]).Model(dims, config["bits"], config["params"])


def steps_per_epoch(train, items):
    whole = items // train["batch_size"]
    return max(whole, 1) if train["drop_last"] else -(-items // train["batch_size"])


class Steps:
    """The updates of a training: optimizers and schedules by torch.optim."""

    def __init__(self, model, config, items):
        self.model, self.step, train = model, 0, config["train"]
        self.per_epoch = steps_per_epoch(train, items)
        self.steps = train["epochs"] * self.per_epoch
        self.optimizers, self.every_step, self.every_epoch = updates(model, train, self.per_epoch)

    def __call__(self, views, labels):
        """Does one step and returns the loss terms before it."""
        self.model.train()
        terms = self.model.losses(views, labels, self.step, self.steps)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        terms["loss"].backward()
        for moved in [*self.optimizers, *self.every_step]:
            moved.step()
        self.step += 1
        if self.step % self.per_epoch == 0:
            self.end_epoch()
        return {name: value.item() for name, value in terms.items()}

    def end_epoch(self):
        for schedule in self.every_epoch:
            schedule.step()
        if hasattr(self.model, "end_epoch"):
            self.model.end_epoch()


def updates(model, train, per_epoch):
    """Optimizers, their schedules that move with every step, and those that move with every epoch."""
    if train["clip_norm"] is not None:
        raise NotImplementedError("peers do not clip gradients")
    if hasattr(model, "updates"):
        return model.updates(train)
    one, by_step = optimizer(model, train), train["schedule_unit"] == "step"
    curve = schedule(one, train, per_epoch if by_step else 1)
    return [one], [curve] if by_step else [], [] if by_step else [curve]


def optimizer(model, train):
    groups, decay = model.groups(train["learning_rate"]), train["weight_decay"]
    adam = {"betas": tuple(train["betas"]), "eps": train["eps"], "weight_decay": decay}
    match train["optimizer"]:
        case "adam":
            return torch.optim.Adam(groups, **adam)
        case "adamw":
            return torch.optim.AdamW(groups, **adam)
        case "rmsprop":
            return torch.optim.RMSprop(groups, eps=train["eps"], weight_decay=decay)
        case "sgd":
            momentum, nesterov = train["momentum"], train["nesterov"]
            return torch.optim.SGD(groups, momentum=momentum, nesterov=nesterov, weight_decay=decay)


def schedule(updates, train, units):
    """The learning rate's curve behind its warm-up; it moves `units` times per epoch."""
    schedules, warmup = torch.optim.lr_scheduler, train["warmup_epochs"] * units
    rise = schedules.LinearLR(updates, train["warmup_start"], 1.0, warmup) if warmup else None
    match train["schedule"]:
        case "constant":
            curve = schedules.ConstantLR(updates, factor=1.0)
        case "step":
            curve = schedules.StepLR(updates, train["schedule_every"], train["schedule_factor"])
        case "multi_step":
            curve = schedules.MultiStepLR(updates, train["milestones"], train["schedule_factor"])
        case "cosine":
            # CosineAnnealingLR ends at one rate for all groups, hashlab at a share of each group's.
            floor, length = train["schedule_floor"], train["epochs"] * units - warmup
            curve = schedules.LambdaLR(
                updates, lambda now: floor + (1 - floor) * (1 + math.cos(math.pi * now / length)) / 2
            )
    return schedules.SequentialLR(updates, [rise, curve], [warmup]) if warmup else curve


class Data:
    """What `hashlab features` exported."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        # By modality; of a single one, `features.npy` under no name.
        files = {path.stem.removesuffix("features").rstrip("_"): path for path in folder.glob("*features.npy")}
        self.features = {name: torch.from_numpy(numpy.load(path)) for name, path in sorted(files.items())}
        self.hot = torch.from_numpy(numpy.load(folder / "labels.npy")).float()
        assert (self.hot.sum(1) == 1).all(), "the ranking of this peer knows one label per item"
        self.labels = self.hot.argmax(1).numpy()
        # One tensor per transform, (stored views, training items, dim): `view_V.npy`, or `view_T_V.npy` of transform T.
        sets = {}
        for path in sorted(folder.glob("view_*.npy")):
            sets.setdefault(path.stem.split("_")[1] if path.stem.count("_") == 2 else "0", []).append(numpy.load(path))
        self.views = [torch.from_numpy(numpy.stack(views)) for views in sets.values()]
        self.train, self.validation, self.validation_database, self.query, self.database = experiment.split(
            folder, "train", "validation_query", "validation_database", "query", "database"
        )

    def side(self, letter):
        """The name of the features that a letter of a task stands for."""
        return SIDES[letter] if SIDES[letter] in self.features else ""

    def dims(self):
        return {name: rows.shape[1] for name, rows in self.features.items()}


class Draws:
    """Batches for an epoch: an own order of the items per sampler, own stored views per item, none of them twice."""

    def __init__(self, model, data, batch_size):
        self.model, self.data, self.batch_size = model, data, batch_size
        self.items = len(data.train)
        self.training_items = torch.from_numpy(data.train)
        self.labels = data.hot[self.training_items]

    def epoch(self, batches):
        samplers, of = self.model.samplers, self.model.views
        orders = [torch.randperm(self.items) for _ in range(samplers)]
        drawn = {pool: self.pick(pool, samplers * of.count(pool)) for pool in dict.fromkeys(of)}
        for start in range(0, batches * self.batch_size, self.batch_size):
            parts = [order[start : start + self.batch_size] for order in orders]
            views = []
            for view, pool in enumerate(of):
                place = of[:view].count(pool)
                columns = [sampler * of.count(pool) + place for sampler in range(samplers)]
                rows = [self.rows(pool, part, drawn[pool][part, column]) for part, column in zip(parts, columns)]
                views.append(torch.cat(rows))
            yield views, self.labels[torch.cat(parts)]

    def pick(self, pool, drawn):
        """Draws stored views of every item; what has no randomness is stored once."""
        stored = 1 if pool in self.data.features else len(self.data.views[pool])
        if stored == 1:
            return torch.zeros(self.items, drawn, dtype=torch.int64)
        return torch.rand(self.items, stored).topk(drawn).indices

    def rows(self, pool, items, views):
        if pool in self.data.features:
            return self.data.features[pool][self.training_items[items]]
        return self.data.views[pool][views, items]


def train(config, data, seed, tasks):
    """Trains from an own start with own draws; returns the test mAP by task of the selected epoch, and the epoch."""
    torch.manual_seed(seed)
    settings, depth = config["train"], config["eval"]["map_at"]
    model = build(config, data.dims())
    steps = Steps(model, config, len(data.train))
    draws = Draws(model, data, settings["batch_size"])
    best = -1.0, 0, None
    for epoch in range(1, settings["epochs"] + 1):
        for views, labels in draws.epoch(steps.per_epoch):
            steps(views, labels)
        if epoch == settings["epochs"] or (settings["select"] == "best" and epoch % settings["validate_every"] == 0):
            scores = evaluate(model, data, data.validation, data.validation_database, depth, tasks)
            score = sum(scores.values()) / len(scores)
            if settings["select"] == "last" or score > best[0]:
                best = score, epoch, copy.deepcopy(model.state_dict())
    model.load_state_dict(best[2])
    return evaluate(model, data, data.query, data.database, depth, tasks), best[1]


def evaluate(model, data, queries, database, depth, tasks):
    """mAP@`depth` by task, such as `i2t`: images are searched for among texts."""
    model.eval()

    def codes(items, letter):
        return encode(model, data, items, data.side(letter))

    def score(task):
        found, among = codes(queries, task[0]), codes(database, task[-1])
        labels = data.labels[queries], data.labels[database]
        return retrieval.mean_average_precision(found, labels[0], among, labels[1], depth, "partition")

    return {task: score(task) for task in tasks}


@torch.inference_mode()
def encode(model, data, items, side):
    """Codes of +-1 of items in their role as `side`."""
    parts = []
    for chunk in torch.from_numpy(items).split(experiment.ENCODE):
        rows = {name: features[chunk] for name, features in data.features.items()}
        relaxed = model.encode(rows, side) if len(rows) > 1 else model.encode(rows[side])
        parts.append((relaxed >= 0).float() * 2 - 1)
    return torch.cat(parts)
