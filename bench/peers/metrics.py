"""Search of stored codes as others do it. Usage: metrics.py THREADS DIR BITS loop|faiss

`loop` is the loop of papers' code: for each query, distances by a matrix product, `argsort`, and mAP@1000, nothing else.
`faiss` is the search alone for the nearest 1000, without any metric.
"""

import os
import pathlib
import sys

import numpy

from serve import serve

DEPTH = 1000

threads, folder, bits, way = int(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
assert os.environ.get("OMP_NUM_THREADS") == str(threads)


def load(side):
    codes = numpy.fromfile(folder / f"{side}.u8", numpy.uint8).reshape(-1, bits // 8)
    return codes, numpy.fromfile(folder / f"{side}.labels", numpy.uint64).reshape(len(codes), -1)


(query, query_labels), (database, labels) = load("query"), load("database")


def loop():
    signs, against = (2.0 * numpy.unpackbits(codes, axis=1).astype(numpy.float32) - 1 for codes in (query, database))

    def search():
        total = 0.0
        for code, label in zip(signs, query_labels):
            distance = 0.5 * (bits - against @ code)
            relevant = (labels[numpy.argsort(distance, kind="stable")[:DEPTH]] & label).any(1)
            ranks = numpy.flatnonzero(relevant) + 1.0
            if len(ranks):
                total += (numpy.arange(1, len(ranks) + 1) / ranks).mean()
        return total / len(query)

    return search


def faiss():
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexBinaryFlat(bits)
    index.add(database)

    def search():
        index.search(query, DEPTH)

    return search


search = {"loop": loop, "faiss": faiss}[way]()


def work(n):
    for _ in range(n):
        value = search()
    return value


serve(work)
