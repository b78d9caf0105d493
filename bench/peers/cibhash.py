"""CIBHash in PyTorch, as fast as its mathematics allows: both views in one batch, every loss term on whole matrices."""

import torch
from torch import nn
from torch.nn import functional as F

EPSILON = 1e-8  # of the reference code


def head(dim, bits, hidden=1024):
    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, bits))


def adam(model, learning_rate):
    return torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)


class Objective:
    """L_con + beta * L_KL of logits (2n, bits): view 1 of n images, then view 2."""

    def __init__(self, tau=0.3, beta=0.001):
        self.tau, self.beta = tau, beta
        self.shapes = {}  # by number of rows: the mask of the diagonal, the index of each row's other view

    def __call__(self, logits):
        contrastive, kl = self.terms(logits)
        return contrastive + self.beta * kl

    def terms(self, logits):
        rows = logits.shape[0]
        if rows not in self.shapes:
            device = logits.device
            itself = torch.eye(rows, dtype=torch.bool, device=device)
            self.shapes[rows] = itself, torch.arange(rows, device=device).roll(rows // 2)
        itself, partner = self.shapes[rows]
        p = logits.sigmoid()
        soft = p - 0.5
        codes = F.normalize(soft + (soft.sign() - soft).detach())
        similarity = (codes @ codes.T / self.tau).masked_fill(itself, float("-inf"))
        contrastive = F.cross_entropy(similarity, partner)
        log_p, log_not_p = (p + EPSILON).log(), (1 - p + EPSILON).log()
        log_q, log_not_q = log_p.detach()[partner], log_not_p.detach()[partner]
        return contrastive, (p * (log_p - log_q) + (1 - p) * (log_not_p - log_not_q)).sum(1).mean()


class Model(nn.Module):
    """CIBHash as `training.py` wants it."""

    samplers, views = 1, (0, 0)

    def __init__(self, dims, bits, params):
        super().__init__()
        (dim,) = dims.values()
        switches = {"binarization": "threshold", "straight_through": "probability", "feature_dropout": 0.0}
        other = {key: params[key] for key in switches if params[key] != switches[key]}
        if other:
            raise NotImplementedError(f"this peer has no {other}")
        self.head = head(dim, bits, params["hidden"])
        self.objective = Objective(params["tau"], params["beta"])

    def groups(self, learning_rate):
        return [{"params": list(self.parameters()), "lr": learning_rate}]

    def losses(self, views, labels, step, steps):
        contrastive, kl = self.objective.terms(self.head(torch.cat(views)))
        return {"loss": contrastive + self.objective.beta * kl, "contrastive": contrastive, "kl": kl}

    def encode(self, features):
        return self.head(features)
