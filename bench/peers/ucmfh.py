"""UCMFH in PyTorch: `torch.nn`'s own transformer on sequences of one item, as the reference code trains it."""

import torch
from torch import nn
from torch.nn import functional as F

MODALITIES = "image", "text"


class Model(nn.Module):
    """UCMFH as `training.py` wants it."""

    samplers, views = 1, MODALITIES

    def __init__(self, dims, bits, params):
        super().__init__()
        switches = {"loss": "original", "progressive": False, "batch_attention": False, "drop_last": False}
        other = {key: params[key] for key in switches if params[key] != switches[key]}
        if other or params["input"] == "zeros":
            raise NotImplementedError(f"this peer has no {other or 'zeros as input'}")
        self.params = params
        self.fusion = Fusion(dims, params)
        for modality in MODALITIES:
            self.add_module(f"{modality}_head", Head(self.fusion.half, bits, params))
            self.register_buffer(f"{modality}_mean", torch.zeros(dims[modality]))
        self.register_buffer("counted", torch.zeros(1))

    def updates(self, train):
        """The reference code's three optimizers, and its schedules of the heads, which move with every step."""
        if train["optimizer"] != "adam":
            raise NotImplementedError("this peer has three Adams")
        shared = {"betas": tuple(self.params["betas"]), "eps": train["eps"], "weight_decay": train["weight_decay"]}
        fusion = torch.optim.Adam(self.fusion.parameters(), lr=self.params["fusion_learning_rate"], **shared)
        rate, curve = self.params["head_learning_rate"], (self.params["milestones"], self.params["factor"])
        heads = [torch.optim.Adam(self.head(modality).parameters(), lr=rate, **shared) for modality in MODALITIES]
        return [fusion, *heads], [torch.optim.lr_scheduler.MultiStepLR(head, *curve) for head in heads], []

    def losses(self, views, labels, step, steps):
        self.count(views)
        fused = self.fusion(dict(zip(MODALITIES, views)))
        codes = [self.head(modality)(half).tanh() for modality, half in zip(MODALITIES, fused)]
        of_fused, of_codes = (contrastive(*pair, self.params["tau"]) for pair in (fused, codes))
        total = of_fused + self.params["code_weight"] * of_codes
        return {"loss": total, "contrastive_fused": of_fused, "contrastive_codes": of_codes}

    def head(self, modality):
        return getattr(self, f"{modality}_head")

    @torch.no_grad()
    def count(self, views):
        """Keeps the means of the epoch's items."""
        self.counted += len(views[0])
        for modality, view in zip(MODALITIES, views):
            mean = getattr(self, f"{modality}_mean")
            mean += (view.mean(0) - mean) * len(view) / self.counted

    def end_epoch(self):
        self.counted.zero_()

    def encode(self, features, modality):
        """Codes of items with their other modality, or with the mean of training items in its place."""
        known = features[modality]
        given = {other: getattr(self, f"{other}_mean").expand(len(known), -1) for other in MODALITIES}
        halves = self.fusion(features if self.params["input"] == "paired" else {**given, modality: known})
        return self.head(modality)(halves[MODALITIES.index(modality)])


def contrastive(first, second, tau):
    """NT-Xent: the positive of a row is its item's other modality, all other rows of both are negatives."""
    unit = F.normalize(torch.cat([first, second]))
    rows = len(unit)
    itself = torch.eye(rows, dtype=torch.bool)
    return F.cross_entropy((unit @ unit.T / tau).masked_fill(itself, float("-inf")), torch.arange(rows).roll(rows // 2))


class Layer(nn.TransformerEncoderLayer):
    def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
        # PyTorch drops attention weights by its function `dropout` where it returns them, else in a kernel of its own.
        return self.dropout1(self.self_attn(x, x, x, need_weights=True)[0])


class Fusion(nn.TransformerEncoder):
    """Maps features of both modalities to fused halves of unit rows."""

    def __init__(self, dims, params):
        alike = len(set(dims.values())) == 1
        half = dims["image"] if alike else params["width"]
        layer = Layer(2 * half, params["heads"], params["feedforward"], params["dropout"])
        super().__init__(layer, params["layers"], enable_nested_tensor=False)
        self.half = half
        self.map = nn.ModuleDict() if alike else nn.ModuleDict({m: nn.Linear(dims[m], half) for m in MODALITIES})

    def forward(self, features):
        halves = [self.map[m](features[m]) if self.map else features[m] for m in MODALITIES]
        items = torch.cat(halves, dim=1)[None]  # (sequence 1, batch of items, columns)
        return F.normalize(super().forward(items)[0]).split(self.half, dim=1)


class Head(nn.Module):
    def __init__(self, width, bits, params):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, params["hidden"]), nn.Linear(params["hidden"], bits)
        self.dropout = nn.Dropout(params["hidden_dropout"])

    def forward(self, x):
        return self.fc2(self.dropout(F.relu(self.fc1(F.normalize(x)))))
