"""The BERT-ResNet hash in PyTorch, on frozen features: projections, hash layers, a contrastive loss over labels."""

import torch
from torch import nn
from torch.nn import functional as F

import draws

MODALITIES = "image", "text"


class Model(nn.Module):
    """The BERT-ResNet hash as `training.py` wants it."""

    samplers, views = 1, MODALITIES

    def __init__(self, dims, bits, params):
        super().__init__()
        self.params = params
        last = "fc1" if params["hash_layer"] == "adaptive" else "fc2"
        self.shifts = [f"{modality}.hash.{last}.bias" for modality in MODALITIES]
        for modality in MODALITIES:
            self.add_module(modality, Branch(dims[modality], bits, params))

    def groups(self, learning_rate):
        slow = nn.ModuleList([self.image.projection, self.text.projection])
        fast = nn.ModuleList([self.image.align, self.image.hash, self.text.align, self.text.hash])
        rates = self.params["projection_lr_scale"] * learning_rate, learning_rate
        return [{"params": list(part.parameters()), "lr": rate} for part, rate in zip((slow, fast), rates)]

    def losses(self, views, labels, step, steps):
        (image, image_codes), (text, text_codes) = self.image(views[0]), self.text(views[1])
        positives = torch.eye(len(image), dtype=torch.bool)
        if self.params["positives"] == "label":
            positives |= labels @ labels.T > 0
        features = contrastive(text, image, positives, self.params["tau"])
        codes = contrastive(text_codes, image_codes, positives, self.params["tau"])
        both = torch.stack([image_codes, text_codes])
        quantization = (both - both.detach().sign()).square().mean()
        balance = both.mean(1).square().mean()
        penalties = self.params["quantization"] * quantization + self.params["balance"] * balance
        return {
            "loss": features + codes + penalties,
            "contrastive_features": features,
            "contrastive_codes": codes,
            "quantization": quantization,
            "balance": balance,
        }

    def encode(self, features, modality):
        _, codes = getattr(self, modality)(features[modality])
        return codes


def contrastive(text, image, positives, tau):
    """The mean over texts of -log of the share of their positives in the softmax over all images."""
    shares = (F.normalize(text) @ F.normalize(image).T / tau).log_softmax(1)
    return -shares.masked_fill(~positives, float("-inf")).logsumexp(1).mean()


class Branch(nn.Module):
    """A modality's network: features of the common space, and relaxed codes."""

    def __init__(self, dim, bits, params):
        super().__init__()
        width = params["width"]
        self.projection = Projection(dim, width, params["dropout"])
        self.align = nn.Linear(width, width)
        self.hash = HashLayer(width, bits, params)

    def forward(self, x):
        features = self.align(self.projection(x))
        return features, self.hash(features)


class Projection(nn.Module):
    def __init__(self, dim, width, p):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, width), nn.Linear(width, width)
        self.dropout, self.norm = nn.Dropout(p), nn.LayerNorm(width)

    def forward(self, x):
        return self.norm(self.fc2(self.dropout(F.relu(self.fc1(x)))))


class HashLayer(nn.Module):
    def __init__(self, width, bits, params):
        super().__init__()
        self.kind, self.tau = params["hash_layer"], params["sample_tau"]
        self.dropout, self.bn = nn.Dropout(params["dropout"]), nn.BatchNorm1d(bits)
        if self.kind == "adaptive":
            self.fc1 = nn.Linear(width, bits)
        else:
            self.fc1, self.fc2 = nn.Linear(width, 2 * bits), nn.Linear(2 * bits, bits)

    def forward(self, x):
        hidden = self.fc1(x)
        logits = self.bn(hidden if self.kind == "adaptive" else self.fc2(self.dropout(F.relu(hidden))))
        match self.kind:
            case "tanh" | "adaptive":
                return logits.tanh()
            case "sigmoid":
                return 2 * logits.sigmoid() - 1
            case "gumbel":
                return 2 * self.sample(logits) - 1

    def sample(self, logits):
        """Soft samples of the bits, each of which has the logits z and -z; in evaluation, the bits themselves."""
        if not self.training:
            return (logits >= 0).to(logits.dtype)
        states = torch.stack([logits, -logits], dim=-1)
        return ((states + draws.gumbel(states.shape, states)) / self.tau).softmax(-1)[..., 0]
