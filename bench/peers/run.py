"""A whole run of CIBHash. Usage: run.py THREADS DIR EPOCHS"""

import pathlib
import sys

import torch

import experiment
from serve import serve

torch.set_num_threads(int(sys.argv[1]))
data = experiment.Data(pathlib.Path(sys.argv[2]) / "features")
epochs = int(sys.argv[3])


def work(n):
    for _ in range(n):
        value = experiment.run(data, bits=64, epochs=epochs, seed=0)
    return value


serve(work)
