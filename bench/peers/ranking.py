"""mAP@1000 of stored codes. Usage: ranking.py THREADS DIR topk|partition|radix|repository|faiss"""

import pathlib
import sys

import numpy
import torch

import retrieval
from serve import serve

BITS, DEPTH = 64, 1000

threads, folder, way = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
torch.set_num_threads(threads)


def load(side):
    bits = numpy.fromfile(folder / f"{side}_codes.u8", numpy.uint8).reshape(-1, BITS)
    return bits, numpy.fromfile(folder / f"{side}_labels.u8", numpy.uint8)


(query, query_labels), (database, labels) = load("query"), load("database")


def as_in_repositories():
    """CalcTopMap of DeepHash-pytorch, without its one-hot labels."""
    signs, against = (2.0 * bits.astype(numpy.float32) - 1 for bits in (query, database))
    total = 0.0
    for code, label in zip(signs, query_labels):
        distance = 0.5 * (BITS - against @ code)
        relevant = (labels[numpy.argsort(distance, kind="stable")] == label)[:DEPTH]
        ranks = numpy.flatnonzero(relevant) + 1.0
        if len(ranks):
            total += (numpy.arange(1, len(ranks) + 1) / ranks).mean()
    return total / len(query)


def faiss_search():
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexBinaryFlat(BITS)
    index.add(numpy.packbits(database, axis=1, bitorder="little"))
    packed = numpy.packbits(query, axis=1, bitorder="little")

    def search():
        _, nearest = index.search(packed, DEPTH)
        return retrieval.precision_sums(nearest, query_labels, labels).mean()

    return search


def vectorised():
    signs, against = (torch.from_numpy(2.0 * bits.astype(numpy.float32) - 1) for bits in (query, database))
    return lambda: retrieval.mean_average_precision(signs, query_labels, against, labels, DEPTH, way)


search = {"repository": lambda: as_in_repositories, "faiss": faiss_search}.get(way, vectorised)()


def work(n):
    for _ in range(n):
        value = search()
    return value


serve(work)
