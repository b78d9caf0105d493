"""Writes golden_encoders.safetensors and encoders.txt: expected values of tests/encoders.rs and
tests/encoder_training.rs for CLIP, SigLIP, DINOv2, BERT and DistilBERT, from Hugging Face's models in float64, and the
names and shapes of their weights.

    pip install numpy safetensors torch transformers && python golden_encoders.py

Weights, images and token ids come from the formula of tests/formula/, the masks of dropouts from
masks_text.safetensors, which `cargo test -p hashlab-encoders --test encoder_training -- --ignored` writes. Models are
small, with heads of 64 features as the published ones have. Stored are all features, of images of several sizes if a
model takes them, and of training passes also the norm of every parameter's gradient.
"""

import numpy as np
import torch
from golden import numbers
from safetensors.numpy import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    DistilBertConfig,
    DistilBertModel,
    SiglipConfig,
    SiglipModel,
)

WORDS, POSITIONS, SIDE, PATCH = 60, 12, 48, 16
LENGTHS = [5, 12, 2, 7]
SIZES = {"hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = SIZES | {"vocab_size": WORDS, "max_position_embeddings": POSITIONS}
IMAGE = SIZES | {"image_size": SIDE, "patch_size": PATCH}
DINO_SIDES = [(70, 70), (42, 56), (99, 140)]  # the first is that of the positions
ENDS = {"bos_token_id": WORDS - 2, "eos_token_id": WORDS - 1, "pad_token_id": WORDS - 1}


def values(name, shape):
    """As tests/formula/encoders.rs."""
    if len(shape) > 1:
        w = np.sqrt(6 / np.prod(shape[1:])) * numbers(name, shape)
        return w.astype(np.float32).astype(np.float16).astype(np.float64)
    factor = name.endswith("lambda1") or ("norm" in name.lower() and name.endswith("weight"))
    center, spread = (0.5, 0.25) if factor else (0.0, 0.1)
    return (center + spread * numbers(name, shape)).astype(np.float32).astype(np.float64)


def hub_name(name):
    """transformers 5 renames DINOv2's layers as it loads them; the published files have the old names."""
    for old, new in [("q", "attention.query"), ("k", "attention.key"), ("v", "attention.value"), ("o", "output.dense")]:
        name = name.replace(f".attention.{old}_proj.", f".attention.{new}.")
    return name


def filled(net, family, names):
    net = net.double().eval()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            name = hub_name(name) if family == "dinov2" else name
            shape = tuple(tensor.shape)
            names.append(" ".join([family, name, *map(str, shape)]))
            if shape:
                tensor.copy_(torch.from_numpy(values(name, shape)))
    return net


def images(height, width):
    x = numbers("images", (2, height, width, 3)).astype(np.float32).astype(np.float64)
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def ids(count, words, fill, last=None):
    """Texts of LENGTHS, or all of the full length; the last token may be a given one, which then fills the rest."""
    x = ((numbers("ids", (count, POSITIONS)) + 1) / 2 * words).astype(np.int64)
    mask = np.arange(POSITIONS)[None] < np.array(LENGTHS)[:, None]
    if fill is not None:
        x[~mask] = fill
    if last is not None:
        x[np.arange(count), np.array(LENGTHS) - 1] = last
    return torch.from_numpy(x), torch.from_numpy(mask.astype(np.int64))


class Mask(torch.nn.Module):
    """A dropout of probability 0.1 whose draws are known: a row for each token, text after text."""

    def __init__(self, kept, mask):
        super().__init__()
        self.kept, self.mask = torch.from_numpy(kept.astype(np.float64)), mask.bool()

    def forward(self, x):
        y = x.clone()
        y[self.mask] = x[self.mask] * self.kept.reshape(-1, x.shape[-1]) / 0.9
        return y


def gradients(out, key, net, features):
    """The features that a training pass computes, and the norm of every parameter's gradient."""
    net.train()
    with torch.enable_grad():
        y = features()
        direction = numbers("direction", tuple(y.shape)).astype(np.float32).astype(np.float64)
        (y * torch.from_numpy(direction)).sum().backward()
    out[f"{key}.trained"] = y
    for name, parameter in net.named_parameters():
        if parameter.grad is not None:
            out[f"{key}.norm.{hub_name(name) if key == 'dinov2' else name}"] = parameter.grad.norm()
    net.zero_grad()
    net.eval()


def dropped(out, family, net, dropouts, tokens, mask):
    """The same of the mean of each text, with dropouts."""
    masks = load_file("masks_text.safetensors")
    for name, stored in dropouts.items():
        net.set_submodule(name, Mask(masks[stored], mask))

    def features():
        hidden = net(input_ids=tokens, attention_mask=mask).last_hidden_state
        weights = mask[:, :, None].double()
        return (hidden * weights).sum(1) / weights.sum(1)

    gradients(out, family, net, features)


def main():
    out, names = {}, []
    attention = {"attn_implementation": "eager"}

    clip = CLIPConfig(text_config=TEXT | ENDS, vision_config=IMAGE, projection_dim=24, **attention)
    clip = filled(CLIPModel(clip), "clip", names)
    ended, _ = ids(len(LENGTHS), WORDS - 2, WORDS - 1, WORDS - 1)
    sides = {
        "clip.image": lambda: clip.visual_projection(clip.vision_model(images(SIDE, SIDE)).pooler_output),
        "clip.text": lambda: clip.text_projection(clip.text_model(ended).pooler_output),
    }
    for key, features in sides.items():
        out[key] = features()
        gradients(out, key, clip, features)

    # LAION's networks: as OpenAI's, but for the activation.
    sizes = {"text_config": TEXT | ENDS | {"hidden_act": "gelu"}, "vision_config": IMAGE | {"hidden_act": "gelu"}}
    laion = filled(CLIPModel(CLIPConfig(**sizes, projection_dim=24, **attention)), "clip", [])
    out["laion.image"] = laion.visual_projection(laion.vision_model(images(SIDE, SIDE)).pooler_output)
    out["laion.text"] = laion.text_projection(laion.text_model(ended).pooler_output)

    siglip = SiglipConfig(text_config=TEXT | {"projection_size": 40}, vision_config=IMAGE, **attention)
    siglip = filled(SiglipModel(siglip), "siglip", names)
    filled_up, _ = ids(len(LENGTHS), WORDS, 1)
    sides = {
        "siglip.image": lambda: siglip.vision_model(images(SIDE, SIDE)).pooler_output,
        "siglip.text": lambda: siglip.text_model(filled_up).pooler_output,
    }
    for key, features in sides.items():
        out[key] = features()
        gradients(out, key, siglip, features)

    dino = {key: size for key, size in SIZES.items() if key != "intermediate_size"}
    dino = Dinov2Config(**dino, mlp_ratio=2, image_size=DINO_SIDES[0][0], patch_size=14, **attention)
    dino = filled(Dinov2Model(dino), "dinov2", names)
    for height, width in DINO_SIDES:
        out[f"dinov2.{height}x{width}"] = dino(images(height, width)).pooler_output
    gradients(out, "dinov2", dino, lambda: dino(images(*DINO_SIDES[1])).pooler_output)

    distil = {"dim": 128, "hidden_dim": 192, "n_layers": 2, "n_heads": 2}
    texts = {"vocab_size": WORDS, "max_position_embeddings": POSITIONS}
    distil = DistilBertConfig(**texts, **distil, attention_dropout=0, **attention)
    distil = filled(DistilBertModel(distil), "distilbert", names)
    tokens, mask = ids(len(LENGTHS), WORDS, None)
    hidden = distil(input_ids=tokens, attention_mask=mask).last_hidden_state
    weights = mask[:, :, None].double()
    out["distilbert.first"] = hidden[:, 0]
    out["distilbert.mean"] = (hidden * weights).sum(1) / weights.sum(1)

    blocks = {f"transformer.layer.{i}.ffn.dropout": f"encoder.layer.{i}.output.dropout" for i in range(2)}
    blocks["embeddings.dropout"] = "embeddings.dropout"
    dropped(out, "distilbert", distil, blocks, tokens, mask)

    bert = filled(BertModel(BertConfig(**texts, **SIZES, attention_probs_dropout_prob=0, **attention)), "bert", names)
    blocks = [f"encoder.layer.{i}.{part}output.dropout" for i in range(2) for part in ["attention.", ""]]
    dropped(out, "bert", bert, {name: name for name in ["embeddings.dropout", *blocks]}, tokens, mask)

    for name, y in out.items():
        if y.dim() < 2:
            continue
        print(name, tuple(y.shape), "deviation", y.std().item(), "between items", (y[0] - y[1]).std().item())
    save_file({name: y.detach().numpy().astype(np.float32) for name, y in out.items()}, "golden_encoders.safetensors")
    with open("encoders.txt", "w") as file:
        file.write("\n".join(names) + "\n")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
