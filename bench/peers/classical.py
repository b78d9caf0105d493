"""LSH and ITQ in PyTorch. `fit` learns from training features; the result maps features to relaxed codes."""

import torch

ROTATIONS = 50  # of ITQ's paper


def lsh(features, bits):
    return projection(features.mean(0), torch.randn(features.shape[1], bits))


def itq(features, bits):
    mean = features.mean(0)
    centered = features - mean
    directions = torch.linalg.eigh(centered.T @ centered).eigenvectors[:, -bits:]  # of the largest eigenvalues
    projected = centered @ directions
    rotation = torch.linalg.qr(torch.randn(bits, bits)).Q
    for _ in range(ROTATIONS):
        codes = (projected @ rotation >= 0).float().mul_(2).sub_(1)
        left, _, right = torch.linalg.svd(codes.T @ projected)
        rotation = (left @ right).T
    return projection(mean, directions @ rotation)


def projection(mean, directions):
    offset = mean @ directions
    return lambda features: features @ directions - offset


def fit(method, features, bits, seed):
    torch.manual_seed(seed)
    return {"lsh": lsh, "itq": itq}[method](features, bits)
