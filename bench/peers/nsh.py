"""NSH in PyTorch, step by step as the paper's figure 2 has it, the sorted latents (n, n, d) included."""

import torch
from torch import nn
from torch.nn import functional as F


class Model(nn.Module):
    """NSH as `training.py` wants it."""

    samplers, views = 1, (0, 1)

    def __init__(self, dims, bits, params):
        super().__init__()
        (dim,) = dims.values()
        self.params = params
        self.hash, self.latent = nn.Linear(dim, bits), nn.Linear(dim, params["latent"])

    def groups(self, learning_rate):
        return [{"params": list(self.parameters()), "lr": learning_rate}]

    def losses(self, views, labels, step, steps):
        codes = [torch.tanh(self.hash(view)) for view in views]
        latents = [F.normalize(self.latent(view)) for view in views]
        both = torch.cat(codes)
        signs = both.sign()
        if self.params["binarization"] == "ste_sign":
            codes = (both + (signs - both).detach()).chunk(2)
        nce = sorted_nce(codes, latents, self.params)
        quantization = (both - signs).square().mean()
        total = nce + self.params["quantization"] * quantization
        return {"loss": total, "sorted_nce": nce, "quantization": quantization}

    def encode(self, features):
        return self.hash(features)


def soft_sort(scores, tau):
    """P of SoftSort: row r of the last two axes is close to one-hot at the r-th largest of the scores."""
    # Scores of ±1 codes are often tied. Which of them stands first changes no value, but which one gets the gradient.
    descending = scores.sort(dim=-1, descending=True, stable=True).values
    return torch.softmax(-(descending[..., :, None] - scores[..., None, :]).abs() / tau, dim=-1)


def sorted_nce(codes, latents, params):
    """Codes and latents of view 1 and view 2, (n, bits) and (n, d) each."""
    bits, positives = codes[0].shape[1], params["positives"]
    similarity = codes[0] @ codes[1].T / (2 * bits) + 0.5
    order = soft_sort(similarity, params.get("sort_tau") or 1 / bits)
    sorted_latents = torch.einsum("ijk,kd->ijd", order, latents[0])
    logits = torch.einsum("ijd,id->ij", sorted_latents, latents[1]) / params["tau"]
    negatives = logits[:, positives:]
    losses = []
    for place in range(positives):
        row = torch.cat([logits[:, place : place + 1], negatives], dim=1)
        if params["double_softmax"]:
            row = row.softmax(dim=1)
        losses.append(F.cross_entropy(row, torch.zeros(len(row), dtype=torch.int64)))
    return torch.stack(losses).mean()
