"""The runs of a sweep of hashlab's again, one thread each. Usage: sweep.py PROCESSES FEATURES RUNS

FEATURES is what `hashlab features` exported; all processes share it. RUNS is hashlab's folder, which tells what to run.
"""

import json
import multiprocessing
import pathlib
import sys

import torch

import classical
import experiment


# What config.json leaves out where it is hashlab's default.
PARAMS = {"tau": 0.3, "beta": 0.001}
TRAIN = {"epochs": 60, "batch_size": 64, "validate_every": 20, "learning_rate": 1e-3}


def one(config):
    torch.set_num_threads(1)
    method, bits, seed = config["method"], config["bits"], config["seed"]
    name = f"{method}, {bits} bits, seed {seed}"
    if method == "cibhash":
        train, params = TRAIN | config.get("train", {}), PARAMS | config.get("params", {})
        if (train["batch_size"], train["validate_every"]) != (experiment.BATCH, experiment.VALIDATE_EVERY):
            raise NotImplementedError("this peer has one batch size, and validates at one distance")
        return name, experiment.run(
            data, bits, train["epochs"], seed, params["tau"], params["beta"], train["learning_rate"]
        )
    encoder = classical.fit(method, data.features[torch.from_numpy(data.train)], bits, seed)
    return name, experiment.evaluate(encoder, data, data.query, data.database)


def planned(runs):
    """What to run, the longest first, so that no process is left alone for long."""
    configs = [json.loads(path.read_text()) for path in runs.rglob("config.json")]
    return sorted(configs, key=lambda config: -config["train"].get("epochs", TRAIN["epochs"]) if config.get("train") else 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    processes, features, runs = int(sys.argv[1]), *map(pathlib.Path, sys.argv[2:])
    data = experiment.Data(features)  # forked processes share its memory
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for name, score in pool.imap_unordered(one, planned(runs)):
            print(f"{name}: mAP@1000 {score:.4f}")
