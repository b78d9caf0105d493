"""Writes golden_torchvision.safetensors: what tests/torchvision.rs expects, from torchvision's networks in float64.

    pip install numpy torch torchvision safetensors && python golden_torchvision.py

Weights and images come from the formula of tests/formula/. Every seventh feature is stored: 7 shares no factor with a
vector's width, so every lane is seen.
"""

import numpy as np
import torch
from golden import numbers
from safetensors.numpy import save_file
from torchvision import models

# Centre and spread of the one-dimensional tensors of a norm.
NORM = {"weight": (0.5, 0.25), "bias": (0, 0.1), "running_mean": (0, 0.1), "running_var": (1, 0.5)}
NORMS = (torch.nn.BatchNorm2d, torch.nn.LayerNorm)


def tensor(name, shape, norms):
    module, _, part = name.rpartition(".")
    if part == "num_batches_tracked":
        return torch.zeros((), dtype=torch.int64)
    if len(shape) > 1:
        scaled = np.sqrt(6 / np.prod(shape[1:])) * numbers(name, shape)
        scaled = scaled.astype(np.float32).astype(np.float16)  # Rust has no direct rounding from f64 to f16.
    else:
        center, spread = NORM[part] if module in norms else (0, 0.1)
        scaled = (center + spread * numbers(name, shape)).astype(np.float32)
    return torch.from_numpy(scaled.astype(np.float64))


def network(name):
    net = getattr(models, name)(weights=None, num_classes=10)
    norms = {name for name, module in net.named_modules() if isinstance(module, NORMS)}
    net = net.double().eval()
    net.load_state_dict({key: tensor(key, tuple(value.shape), norms) for key, value in net.state_dict().items()})
    if hasattr(net, "fc"):
        net.fc = torch.nn.Identity()
    elif hasattr(net, "heads"):
        net.heads = torch.nn.Identity()
    elif name == "mobilenet_v2":
        net.classifier = torch.nn.Identity()
    else:
        net.classifier = net.classifier[: 5 if name == "vgg16" else 6]  # up to the rectifier of fc7
    return net


def main():
    features = {}
    for name in ["resnet18", "resnet34", "resnet50", "resnet101", "vgg16", "alexnet"]:
        net = network(name)
        for images, h, w in [(2, 80, 96)] + [(1, 224, 224)] * (name in ["vgg16", "alexnet"]):
            x = numbers("images", (images, h, w, 3)).astype(np.float32).astype(np.float64)
            with torch.no_grad():
                y = net(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
            print(name, y.shape, "mean", y.mean(), "deviation", y.std(), "between images", (y[0] - y[-1]).std())
            features[f"{name}.{h}x{w}"] = np.ascontiguousarray(y[:, ::7].astype(np.float32))
    save_file(features, "golden_torchvision.safetensors")


if __name__ == "__main__":
    main()
