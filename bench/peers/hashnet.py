"""HashNet in PyTorch: the weighted pairwise logistic loss of the paper (eq. 4), differentiated by autograd."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class Model(nn.Module):
    """HashNet as `training.py` wants it."""

    views = (0,)

    def __init__(self, dims, bits, params):
        super().__init__()
        (dim,) = dims.values()
        if params["gradient"] != "autograd":
            raise NotImplementedError("this peer differentiates the loss; it has no gradient of the caffe layer")
        self.params = params
        self.alpha = params.get("alpha") or 10 / bits
        self.samplers = 2 if params["pairs"] == "two_samplers" else 1
        self.hash = nn.Linear(dim, bits)
        nn.init.normal_(self.hash.weight, 0.0, 0.01)
        nn.init.zeros_(self.hash.bias)

    def groups(self, learning_rate):
        return [{"params": list(self.parameters()), "lr": 10 * learning_rate}]  # as in both official codes

    def losses(self, views, labels, step, steps):
        scale = continuation(self.params, step, steps)
        codes = torch.tanh(scale * self.hash(views[0]))
        (left, right), (one, other) = (x.chunk(2) if self.samplers == 2 else (x, x) for x in (codes, labels))
        loss = pairwise(left, right, one, other, self.alpha, self.params)
        return {"loss": loss, "pairwise": loss, "scale": torch.tensor(scale)}

    def encode(self, features):
        return self.hash(features)


def continuation(params, step, steps):
    """beta: from 1 to `scale_max` in `stages` constant pieces of equal length."""
    if params["continuation"] == "off":
        return 1.0
    progress = step * params["stages"] // steps / (params["stages"] - 1)
    if params["continuation"] == "stages":
        return params["scale_max"] ** progress  # a geometric sequence
    # The official code's sqrt(1 + t / 200), t in pieces of 200, stretched to end at `scale_max`.
    return math.sqrt(1 + progress * (params["scale_max"] ** 2 - 1))


def pairwise(left, right, labels, other, alpha, params):
    """Codes (n, bits) and (m, bits), multi-hot labels (n, classes) and (m, classes)."""
    shared = labels @ other.T
    similar = (shared > 0).to(left.dtype)
    losses = F.binary_cross_entropy_with_logits(alpha * left @ right.T, similar, reduction="none")
    weighting = params["weighting"]
    if weighting == "unweighted":
        return losses.mean()
    if weighting == "class_num":
        weights = torch.where(similar > 0, params["class_num"], 1.0)
        return (weights * losses).sum() / weights.sum()
    positives = similar.sum()
    pairs = similar.numel()
    # |S|/|S1| and |S|/|S0|; a kind of pairs that the batch lacks has nothing to weight.
    weights = similar * pairs / positives.clamp(min=1) + (1 - similar) * pairs / (pairs - positives).clamp(min=1)
    if weighting == "balanced_jaccard":
        union = labels.sum(1, keepdim=True) + other.sum(1) - shared
        weights = torch.where(similar > 0, weights * shared / union.clamp(min=1), weights)
    return (weights * losses).mean()
