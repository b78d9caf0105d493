"""Writes golden_training.safetensors: what tests/training.rs expects, from torchvision's networks in float64.

    pip install numpy torch torchvision safetensors && python golden_training.py

Weights and images come from the formula of tests/formula/, the masks of dropouts from masks.safetensors, which
`cargo test -p hashlab-encoders --test training -- --ignored` writes. Of every network and kind of norm is stored, for
the sum of all features times a fixed direction: some features, the norm of every parameter's gradient in the order of
the state's names, parts of some gradients, and parts of running statistics and of evaluated features after the step.
"""

import numpy as np
import torch
from golden import numbers
from golden_torchvision import network
from safetensors.numpy import load_file, save_file

# Images, height, width.
SIZES = {
    "resnet18": (3, 64, 80),
    "resnet50": (3, 64, 80),
    "vgg16": (1, 48, 64),
    "alexnet": (1, 80, 96),
    "vit_b_16": (2, 224, 224),
    "mobilenet_v2": (3, 64, 80),
}
# Stored in part.
GRADIENTS = {
    "resnet18": ["conv1.weight", "layer2.0.downsample.0.weight", "layer4.1.conv2.weight"],
    "resnet50": ["conv1.weight", "layer1.0.conv2.weight", "layer4.2.conv3.weight"],
    "vgg16": ["features.0.weight", "features.28.bias", "classifier.3.weight"],
    "alexnet": ["features.0.weight", "features.10.bias", "classifier.1.weight"],
    "vit_b_16": [
        "class_token",
        "conv_proj.weight",
        "encoder.pos_embedding",
        "encoder.layers.encoder_layer_5.self_attention.in_proj_weight",
        "encoder.layers.encoder_layer_11.mlp.3.bias",
    ],
    "mobilenet_v2": [
        "features.0.0.weight",
        "features.2.conv.1.0.weight",
        "features.9.conv.1.0.weight",
        "features.17.conv.2.weight",
    ],
}
# Batch norms whose statistics are stored, and their parameters whose gradients are stored, by the name of the network
# or RESNET.
RESNET = "resnet"
NORMS = {
    RESNET: ["bn1", "layer2.0.downsample.1", "layer4.1.bn2"],
    "mobilenet_v2": ["features.0.1", "features.3.conv.1.1", "features.17.conv.3"],
}
NORM_GRADIENTS = {
    RESNET: ["layer3.1.bn2.bias", "bn1.weight"],
    "mobilenet_v2": ["features.5.conv.1.1.bias", "features.18.1.weight"],
}


class Mask(torch.nn.Module):
    """A dropout of probability one half whose draws are known."""

    def __init__(self, kept):
        super().__init__()
        self.kept = torch.from_numpy(kept.astype(np.float64))

    def forward(self, x):
        return x * self.kept * 2 if self.training else x


def part(x):
    """About 200 elements; the step shares no factor with any width."""
    flat = np.asarray(x, dtype=np.float64).ravel()
    return np.ascontiguousarray(flat[:: max(1, flat.size // 200) | 1].astype(np.float32))


def masked(net, masks):
    """Replaces the dropouts; the first one of AlexNet sees 6 by 6 pixels, here channels first."""
    classifier = getattr(net, "classifier", None)
    for index, module in enumerate(classifier if isinstance(classifier, torch.nn.Sequential) else []):
        if isinstance(module, torch.nn.Dropout):
            mask = masks[f"classifier.{index}"]
            net.classifier[index] = Mask(mask.reshape(6, 6, -1).transpose(2, 0, 1).ravel() if index == 0 else mask)
    return net


def case(name, norm, masks, out):
    net = network(name)
    if name == "vgg16":
        net.classifier.append(torch.nn.Dropout())  # which only training sees
    net = masked(net, masks)
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    net.train()
    if norm == "frozen":
        for module in norms:
            module.eval()
            module.requires_grad_(False)
    size = SIZES[name]
    x = numbers("images", (*size, 3)).astype(np.float32).astype(np.float64)
    x = torch.from_numpy(x).permute(0, 3, 1, 2)
    y = net(x)
    direction = numbers("direction", tuple(y.shape)).astype(np.float32).astype(np.float64)
    (y * torch.from_numpy(direction)).sum().backward()
    key = f"{name}.{norm}"
    out[f"{key}.features"] = part(y.detach())
    gradients = {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    out[f"{key}.norms"] = np.array([g.norm().item() for g in gradients.values()], dtype=np.float32)
    family = name if name in NORMS else RESNET
    for parameter in GRADIENTS[name] + (NORM_GRADIENTS[family] if norm == "batch" else []):
        out[f"{key}.gradient.{parameter}"] = part(gradients[parameter])
    if norm == "batch":
        for module in NORMS[family]:
            for statistic in ["running_mean", "running_var"]:
                out[f"{key}.buffer.{module}.{statistic}"] = part(net.get_buffer(f"{module}.{statistic}"))
    net.eval()
    with torch.no_grad():
        out[f"{key}.evaluated"] = part(net(x))
    print(key, y.std().item(), len(gradients))


def main():
    masks, out = load_file("masks.safetensors"), {}
    for name in ["resnet18", "resnet50", "mobilenet_v2"]:
        for norm in ["batch", "frozen"]:
            case(name, norm, masks, out)
    for name in ["vgg16", "alexnet", "vit_b_16"]:
        case(name, "none", masks, out)
    save_file(out, "golden_training.safetensors")


if __name__ == "__main__":
    main()
