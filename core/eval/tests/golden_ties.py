#!/usr/bin/env python3
"""Writes golden/ties_*.safetensors: metrics in expectation over ties, by tie-aware-retrieval-metrics of PyPI.

    pip install numpy safetensors tie-aware-retrieval-metrics==0.1.1
    core/eval/tests/golden_ties.py golden
"""

import pathlib
import sys

import numpy
from safetensors.numpy import save_file
from trm import evaluate

NAMES = {"map": "map", "ndcg": "ndcg", "precision": "precision", "recall": "recall"}


def case(seed, bits, classes, queries, items, ranks):
    random = numpy.random.default_rng(seed)
    codes = [random.choice([-1.0, 1.0], (n, bits)) for n in (queries, items)]
    labels = [(random.random((n, classes)) < 1.5 / classes).astype(float) for n in (queries, items)]
    labels[0][0] = 0  # a query without relevant items
    distances = (bits - codes[0] @ codes[1].T) / 2
    relevant = labels[0] @ labels[1].T > 0
    found = evaluate((-distances).tolist(), relevant.tolist(), list(NAMES), ranks)
    values = {f"{name}_expected": [found.metrics[name][rank].expected for rank in ranks] for name in NAMES}
    return {
        "query_codes": codes[0],
        "database_codes": codes[1],
        "query_labels": labels[0],
        "database_labels": labels[1],
        "ranks": numpy.array(ranks, float),
        **{name: numpy.array(value) for name, value in values.items()},
    }


CASES = [(0, 4, 3, 6, 40, [1, 5, 17, 40]), (1, 12, 10, 9, 200, [1, 10, 100, 200]), (2, 64, 81, 7, 150, [3, 50, 150])]

for index, arguments in enumerate(CASES):
    save_file(case(*arguments), pathlib.Path(sys.argv[1]) / f"ties_{index}.safetensors")
