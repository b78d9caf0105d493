"""A whole run of CIBHash on stored features, all of them in memory."""

import copy
import pathlib

import numpy
import torch

import cibhash
import retrieval

DEPTH, BATCH, ENCODE, VALIDATE_EVERY, LEARNING_RATE = 1000, 64, 4096, 20, 1e-4


class Data:
    """What `hashlab features` exported."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.features = torch.from_numpy(numpy.load(folder / "features.npy"))
        views = [numpy.load(path) for path in sorted(folder.glob("view_*.npy"))]
        self.count = len(views)
        self.views = torch.from_numpy(numpy.concatenate(views))  # every item's view 0, then every item's view 1 ...
        self.labels = numpy.load(folder / "labels.npy").argmax(1)
        parts = ("train", "validation_query", "query", "database")
        self.train, self.validation, self.query, self.database = split(folder, *parts)


def split(folder, *parts):
    """Item indices of parts of a protocol."""
    return [numpy.load(folder / f"{part}.npy").astype(numpy.int64) for part in parts]


def run(data, bits, epochs, seed, tau=0.3, beta=0.001, learning_rate=LEARNING_RATE):
    """Trains, selects on validation queries, and returns the mAP@1000 of the test queries."""
    torch.manual_seed(seed)
    model = cibhash.head(data.features.shape[1], bits)
    optimizer, objective = cibhash.adam(model, learning_rate), cibhash.Objective(tau, beta)
    items, best = len(data.train), (-1.0, None)
    for epoch in range(1, epochs + 1):
        pairs = torch.rand(items, data.count).topk(2).indices * items  # two views of each item, without repetition
        total = torch.zeros(())
        for batch in torch.randperm(items).split(BATCH):
            first, second = pairs[batch].T + batch
            loss = objective(model(data.views.index_select(0, torch.cat([first, second]))))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        if not total.isfinite():
            raise RuntimeError(f"loss {total} in epoch {epoch}")
        if epoch % VALIDATE_EVERY == 0 or epoch == epochs:
            score = evaluate(model, data, data.validation, data.database)
            if score > best[0]:
                best = score, copy.deepcopy(model.state_dict())
    model.load_state_dict(best[1])
    return evaluate(model, data, data.query, data.database)


def evaluate(encoder, data, queries, database, depth=DEPTH):
    codes, against, labels = encode(encoder, data, queries), encode(encoder, data, database), data.labels
    return retrieval.mean_average_precision(codes, labels[queries], against, labels[database], depth, "partition")


@torch.inference_mode()
def encode(encoder, data, items):
    """Codes of +-1; rows are gathered chunk by chunk, so that they are still in the cache when they are multiplied."""
    chunks = torch.from_numpy(items).split(ENCODE)
    return torch.cat([(encoder(data.features[chunk]) >= 0).float().mul_(2).sub_(1) for chunk in chunks])
