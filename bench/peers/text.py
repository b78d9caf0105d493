"""Forward passes of a text encoder of the sizes of all-MiniLM-L6-v2, and the mean over tokens.

Usage: text.py THREADS TEXTS TOKENS eager|fused|jit|fast_path

`eager` is written as Hugging Face's is, `fused` makes queries, keys and values by one product, `jit` is that, traced and
frozen; `fast_path` is what torch.nn.TransformerEncoder does in evaluation.
"""

import sys

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from serve import serve

WORDS, POSITIONS, DIM, HIDDEN, LAYERS, HEADS = 30522, 512, 384, 1536, 6, 12


class Layer(nn.Module):
    def __init__(self, fused):
        super().__init__()
        self.inputs = nn.ModuleList([nn.Linear(DIM, 3 * DIM)] if fused else [nn.Linear(DIM, DIM) for _ in range(3)])
        self.output = nn.Linear(DIM, DIM)
        self.mlp = nn.ModuleList([nn.Linear(DIM, HIDDEN), nn.Linear(HIDDEN, DIM)])
        self.norms = nn.ModuleList([nn.LayerNorm(DIM, eps=1e-12) for _ in range(2)])

    def forward(self, x):
        n, t, _ = x.shape
        parts = [layer(x) for layer in self.inputs]
        parts = parts if len(parts) == 3 else parts[0].chunk(3, 2)
        q, k, v = (part.view(n, t, HEADS, DIM // HEADS).transpose(1, 2) for part in parts)
        y = scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, DIM)
        x = self.norms[0](x + self.output(y))
        return self.norms[1](x + self.mlp[1](gelu(self.mlp[0](x))))


class Encoder(nn.Module):
    def __init__(self, way):
        super().__init__()
        self.words = nn.Embedding(WORDS, DIM)
        self.positions = nn.Embedding(POSITIONS, DIM)
        self.segments = nn.Embedding(2, DIM)
        self.norm = nn.LayerNorm(DIM, eps=1e-12)
        if way == "fast_path":
            layer = nn.TransformerEncoderLayer(DIM, HEADS, HIDDEN, activation="gelu", layer_norm_eps=1e-12, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, LAYERS)
        else:
            self.layers = nn.Sequential(*(Layer(way != "eager") for _ in range(LAYERS)))

    def forward(self, ids, mask):
        x = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.segments.weight[0]
        x = self.layers(self.norm(x))
        mask = mask[:, :, None]
        return (x * mask).sum(1) / mask.sum(1)


torch.set_num_threads(int(sys.argv[1]))
texts, tokens, way = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
encoder = Encoder(way).eval()
ids, mask = torch.randint(WORDS, (texts, tokens)), torch.ones(texts, tokens)
with torch.inference_mode():
    if way == "jit":
        encoder = torch.jit.optimize_for_inference(torch.jit.trace(encoder, (ids, mask)))


@torch.inference_mode()
def work(n):
    for _ in range(n):
        encoder(ids, mask)


serve(work)
