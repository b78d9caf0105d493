"""Training in PyTorch as the configuration of one of hashlab's runs says, for any of the peers.

A peer is a module named as its method, with a class `Model(dim, bits, params)`, a `torch.nn.Module` whose parameters
have the names of the method's tensors:

* `views`: for each view of a step, the number of its transform; `samplers`: orders of the items that a step draws from
* `groups(learning_rate)`: parameter groups for `torch.optim`
* `losses(views, labels, step, steps)`: loss terms by name, `loss` being the total
* `encode(features)`: relaxed codes
"""

import copy
import importlib
import pathlib

import numpy
import torch

import experiment


def build(config, dim):
    torch.set_num_threads(1)
    return importlib.import_module(config["method"]).Model(dim, config["bits"], config["params"])


def steps_per_epoch(train, items):
    whole = items // train["batch_size"]
    return max(whole, 1) if train["drop_last"] else -(-items // train["batch_size"])


class Steps:
    """The updates of a training: optimizer and schedule by torch.optim."""

    def __init__(self, model, config, items):
        self.model, self.step, train = model, 0, config["train"]
        self.per_epoch = steps_per_epoch(train, items)
        self.steps = train["epochs"] * self.per_epoch
        self.optimizer = optimizer(model, train)
        self.schedule = schedule(self.optimizer, train)

    def __call__(self, views, labels):
        """Does one step and returns the loss terms before it."""
        terms = self.model.losses(views, labels, self.step, self.steps)
        self.optimizer.zero_grad()
        terms["loss"].backward()
        self.optimizer.step()
        self.step += 1
        if self.step % self.per_epoch == 0:
            self.schedule.step()
        return {name: value.item() for name, value in terms.items()}


def optimizer(model, train):
    groups, decay = model.groups(train["learning_rate"]), train["weight_decay"]
    match train["optimizer"]:
        case "adam":
            return torch.optim.Adam(groups, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(groups, weight_decay=decay)
        case "rmsprop":
            return torch.optim.RMSprop(groups, weight_decay=decay)
        case "sgd":
            momentum, nesterov = train["momentum"], train["nesterov"]
            return torch.optim.SGD(groups, momentum=momentum, nesterov=nesterov, weight_decay=decay)


def schedule(updates, train):
    schedules = torch.optim.lr_scheduler
    match train["schedule"]:
        case "constant":
            return schedules.ConstantLR(updates, factor=1.0)
        case "step":
            return schedules.StepLR(updates, train["schedule_every"], train["schedule_factor"])
        case "cosine":
            return schedules.CosineAnnealingLR(updates, train["epochs"])


class Data:
    """What `hashlab features` exported."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.features = torch.from_numpy(numpy.load(folder / "features.npy"))
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


class Draws:
    """Batches for an epoch: an own order of the items per sampler, own stored views per item, none of them twice."""

    def __init__(self, model, data, batch_size):
        self.model, self.data, self.batch_size = model, data, batch_size
        self.items = len(data.train)
        self.labels = data.hot[torch.from_numpy(data.train)]

    def epoch(self, batches):
        samplers, of = self.model.samplers, self.model.views
        orders = [torch.randperm(self.items) for _ in range(samplers)]
        picked = [self.pick(stored, samplers * of.count(pool)) for pool, stored in enumerate(self.data.views)]
        for start in range(0, batches * self.batch_size, self.batch_size):
            parts = [order[start : start + self.batch_size] for order in orders]
            views = []
            for view, pool in enumerate(of):
                place = of[:view].count(pool)
                rows = [
                    self.data.views[pool][picked[pool][part, sampler * of.count(pool) + place], part]
                    for sampler, part in enumerate(parts)
                ]
                views.append(torch.cat(rows))
            yield views, self.labels[torch.cat(parts)]

    def pick(self, stored, drawn):
        """Draws stored views of every item; a transform without randomness is stored once."""
        if len(stored) == 1:
            return torch.zeros(self.items, drawn, dtype=torch.int64)
        return torch.rand(self.items, len(stored)).topk(drawn).indices


def train(config, data, seed):
    """Trains from an own start with own draws; returns the test mAP of the selected epoch, and the epoch."""
    torch.manual_seed(seed)
    settings, depth = config["train"], config["eval"]["map_at"]
    model = build(config, data.features.shape[1])
    steps = Steps(model, config, len(data.train))
    draws = Draws(model, data, settings["batch_size"])
    best = -1.0, 0, None
    for epoch in range(1, settings["epochs"] + 1):
        for views, labels in draws.epoch(steps.per_epoch):
            steps(views, labels)
        if epoch == settings["epochs"] or (settings["select"] == "best" and epoch % settings["validate_every"] == 0):
            score = experiment.evaluate(model.encode, data, data.validation, data.validation_database, depth)
            if settings["select"] == "last" or score > best[0]:
                best = score, epoch, copy.deepcopy(model.state_dict())
    model.load_state_dict(best[2])
    return experiment.evaluate(model.encode, data, data.query, data.database, depth), best[1]
