"""CroVCA in PyTorch: the paper's alignment by binary cross-entropy and its coding rate, differentiated by autograd."""

import torch
from torch import nn
from torch.nn import functional as F


class Model(nn.Module):
    """CroVCA as `training.py` wants it."""

    samplers, views = 1, (0, 0)
    shifts = ("output.bias",)

    def __init__(self, dims, bits, params):
        super().__init__()
        (dim,) = dims.values()
        self.params = params
        small = params["head"] == "small"
        self.activation = F.relu if small else F.gelu
        widths = [dim, dim] if small else [dim, max(2 * dim, 2048), max(2 * dim, 2048)]
        self.hidden = nn.ModuleList(nn.Linear(*sizes) for sizes in zip(widths, widths[1:]))
        self.output = nn.Linear(widths[-1], bits)
        self.norm = nn.BatchNorm1d(bits)
        for layer in [*self.hidden, self.output]:
            nn.init.normal_(layer.weight, 0.0, 0.02)
            nn.init.zeros_(layer.bias)

    def groups(self, learning_rate):
        return [{"params": list(self.parameters()), "lr": learning_rate}]

    def losses(self, views, labels, step, steps):
        logits = [self.encode(view) for view in views]
        targets = self.targets(logits, labels)
        alignment = sum(F.binary_cross_entropy_with_logits(z, bits) for z, bits in zip(logits, targets)) / 2
        rate = sum(coding_rate(z, self.params["eps"]) for z in logits) / 2
        return {"loss": alignment + self.params["regularization"] * rate, "alignment": alignment, "coding_rate": rate}

    def targets(self, logits, labels):
        """Each view predicts the bits of the other."""
        return [(z.detach() > 0).to(z.dtype) for z in reversed(logits)]

    def encode(self, features):
        for layer in self.hidden:
            features = self.activation(layer(features))
        return self.norm(self.output(features))


def coding_rate(logits, eps):
    """Minus the rate of rows on the unit sphere, in the scale of the reference code."""
    (m, p), z = logits.shape, F.normalize(logits)
    volume = torch.linalg.slogdet(torch.eye(p, dtype=z.dtype) + p / (m * eps) * z.T @ z).logabsdet
    return -volume / 2 * (p + m) / (p * m)
