"""mAP@K as deep-hashing papers define it (CalcTopMap), ties in distance by position; for blocks of queries at once."""

import numpy
import torch

BLOCK = 64  # queries at once: their keys stay in the second-level cache


def keys(query, database):
    """(distance, position) as one number, exact in float32: codes are +-1, and bits * items < 2**24."""
    items = database.shape[0]
    return (query @ database.T).mul_(-items / 2).add_(torch.arange(items, dtype=torch.float32))


def by_topk(query, database, k):
    return keys(query, database).topk(k, largest=False, sorted=True).indices.numpy()


def by_partition(query, database, k):
    """numpy selects with AVX-512 where there is; the positions are read off the keys."""
    nearest = numpy.partition(keys(query, database).numpy(), k, axis=1)[:, :k]
    nearest.sort(axis=1)
    return (nearest.astype(numpy.int64) % database.shape[0])


def by_radix(query, database, k):
    """numpy's stable sort of bytes is a radix sort."""
    distance = (query @ database.T).mul_(-0.5).add_(query.shape[1] / 2).to(torch.uint8).numpy()
    return numpy.argsort(distance, axis=1, kind="stable")[:, :k]


WAYS = {"topk": by_topk, "partition": by_partition, "radix": by_radix}


def precision_sums(nearest, query_labels, labels):
    """The average precision of each query over its ranked items, divided by the relevant ones among them."""
    relevant = labels[nearest] == query_labels[:, None]
    hits = relevant.cumsum(1, dtype=numpy.int32)
    ranks = numpy.arange(1, nearest.shape[1] + 1, dtype=numpy.float32)
    sums = numpy.where(relevant, hits / ranks, 0.0).sum(1, dtype=numpy.float64)
    return sums / numpy.maximum(hits[:, -1], 1)


def mean_average_precision(query, query_labels, database, labels, k, way):
    """`query` and `database` are torch tensors of +-1 in float32, labels numpy arrays of classes."""
    total = 0.0
    for start in range(0, len(query), BLOCK):
        nearest = WAYS[way](query[start : start + BLOCK], database, k)
        total += precision_sums(nearest, query_labels[start : start + BLOCK], labels).sum()
    return total / len(query)
