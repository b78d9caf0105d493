#!/usr/bin/env python3
"""Writes golden/statistics_*.safetensors: paired t tests by scipy, and Holm's adjustment of their p values.

    pip install numpy scipy safetensors
    core/eval/tests/golden_statistics.py golden
"""

import pathlib
import sys

import numpy
from safetensors.numpy import save_file
from scipy import stats


def holm(p):
    """Written apart from the program's: each p value's adjusted one is the largest of those at or before it in order."""
    order = numpy.argsort(p)
    steps = [min(1.0, p[index] * (len(p) - rank)) for rank, index in enumerate(order)]
    adjusted = numpy.empty(len(p))
    for rank, index in enumerate(order):
        adjusted[index] = max(steps[: rank + 1])
    return adjusted


for index, (comparisons, seeds) in enumerate([(4, 3), (6, 5), (10, 12)]):
    random = numpy.random.default_rng(index)
    first = 0.6 + 0.01 * random.standard_normal((comparisons, seeds))
    second = first - 0.01 * random.random((comparisons, 1)) + 0.005 * random.standard_normal((comparisons, seeds))
    test = stats.ttest_rel(first, second, axis=1)
    interval = test.confidence_interval(0.95)
    arrays = {"first": first, "second": second, "mean": (first - second).mean(1), "p": test.pvalue,
              "low": interval.low, "high": interval.high, "holm": holm(test.pvalue)}
    arrays = {name: numpy.ascontiguousarray(values, float) for name, values in arrays.items()}
    save_file(arrays, pathlib.Path(sys.argv[1]) / f"statistics_{index}.safetensors")
