"""Writes golden_bert.safetensors: expected values of tests/bert.rs, from Hugging Face's `BertModel` in float64.

    pip install numpy safetensors torch transformers && python golden_bert.py

Weights and token ids come from the formula of tests/formula/. Of each encoder and batch, texts of equal length and
padded ones, are stored parts of the last hidden states, their mean over tokens as sentence-transformers computes it,
and the pooler's output; of the padded batch also, for the sum of pooler's output and mean times fixed directions, the norm
of every parameter's gradient in the order of the state's names, and parts of some gradients.
"""

import numpy as np
import torch
from golden import numbers
from safetensors.numpy import save_file
from transformers import BertConfig, BertModel

# Sizes; the first two are those of all-MiniLM-L6-v2 and bert-base-uncased with fewer words and layers.
ENCODERS = {
    "minilm": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "base": {"hidden_size": 768, "num_hidden_layers": 2, "num_attention_heads": 12, "intermediate_size": 3072},
}
WORDS, POSITIONS = 100, 64
LENGTHS = {"equal": [20, 20, 20], "padded": [5, 33, 1, 20]}
GRADIENTS = [
    "embeddings.word_embeddings.weight",
    "embeddings.token_type_embeddings.weight",
    "encoder.layer.0.attention.self.key.weight",
    "encoder.layer.1.output.LayerNorm.weight",
    "pooler.dense.weight",
]


def values(name, shape):
    """As tests/formula/mod.rs: matrices keep the variance of their inputs and are rounded to f16, vectors are small."""
    if len(shape) > 1:
        w = np.sqrt(6 / np.prod(shape[1:])) * numbers(name, shape)
        return w.astype(np.float32).astype(np.float16).astype(np.float64)
    center, spread = (0.5, 0.25) if name.endswith("LayerNorm.weight") else (0.0, 0.1)
    return (center + spread * numbers(name, shape)).astype(np.float32).astype(np.float64)


def part(x):
    """About 200 elements; the step shares no factor with any width."""
    flat = np.asarray(x.detach(), dtype=np.float64).ravel()
    return np.ascontiguousarray(flat[:: max(1, flat.size // 200) | 1].astype(np.float32))


def encoder(name):
    config = BertConfig(vocab_size=WORDS, max_position_embeddings=POSITIONS, attn_implementation="eager", **ENCODERS[name])
    net = BertModel(config).double().eval()
    with torch.no_grad():
        for parameter, tensor in net.named_parameters():
            tensor.copy_(torch.from_numpy(values(parameter, tuple(tensor.shape))))
    return net


def tokens(lengths):
    """Token ids and mask; ids under the mask are tokens, too, which must not matter."""
    shape = (len(lengths), max(lengths))
    ids = ((numbers("ids", shape) + 1) / 2 * WORDS).astype(np.int64)
    mask = np.arange(shape[1])[None] < np.array(lengths)[:, None]
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def direction(name, y):
    return torch.from_numpy(numbers(name, tuple(y.shape)).astype(np.float32).astype(np.float64))


def main():
    out = {}
    for name in ENCODERS:
        net = encoder(name)
        for batch, lengths in LENGTHS.items():
            ids, mask = tokens(lengths)
            y = net(input_ids=ids, attention_mask=mask)
            weights = mask[:, :, None].double()
            hidden = y.last_hidden_state * weights
            mean = hidden.sum(1) / weights.sum(1)
            key = f"{name}.{batch}"
            out |= {f"{key}.hidden": part(hidden), f"{key}.mean": part(mean), f"{key}.pooled": part(y.pooler_output)}
            print(key, hidden.std().item(), (mean[0] - mean[1]).std().item(), y.pooler_output.std().item())
        loss = (mean * direction("mean", mean)).sum() + (y.pooler_output * direction("pooled", y.pooler_output)).sum()
        loss.backward()
        gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
        out[f"{name}.norms"] = np.array([g.norm().item() for g in gradients.values()], dtype=np.float32)
        for parameter in GRADIENTS:
            out[f"{name}.gradient.{parameter}"] = part(gradients[parameter])
    save_file(out, "golden_bert.safetensors")


if __name__ == "__main__":
    main()
