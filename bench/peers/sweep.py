"""Several runs of CIBHash, one thread each; features are loaded once. Usage: sweep.py PROCESSES DIR RUNS EPOCHS"""

import multiprocessing
import pathlib
import sys

import torch

import experiment


def one(seed):
    torch.set_num_threads(1)
    return seed, experiment.run(data, bits=64, epochs=epochs, seed=seed)


if __name__ == "__main__":
    torch.set_num_threads(1)
    processes, folder, runs, epochs = int(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    data = experiment.Data(folder / "features")  # forked processes share its memory
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for seed, score in pool.imap_unordered(one, range(runs)):
            print(f"seed {seed}: mAP@1000 {score:.4f}")
