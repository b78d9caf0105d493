"""Writes golden.safetensors: features that tests/golden.rs expects, computed with numpy in float64.

    pip install numpy safetensors && python golden.py

Weights and images come from the formula of tests/formula/mod.rs. No code is shared with the crate: convolutions are sums
over shifted views of NCHW arrays.
"""

import numpy as np
from safetensors.numpy import save_file


def numbers(name, shape):
    """FNV-1a of the name, then an index through MurmurHash3's finaliser; uniform over [-1, 1)."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    h = np.uint32(seed) + np.arange(np.prod(shape), dtype=np.uint32) * np.uint32(0x9E3779B9)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    h = h ^ (h >> np.uint32(16))
    return (h / 2.0**31 - 1.0).reshape(shape)


def conv(x, name, shape, stride=1, pad=((0, 0), (0, 0)), top=None):
    """Convolves x (n, c, h, w); a depthwise convolution has shape (c, 1, kh, kw). The result is clipped to [0, top]."""
    out, depth, kh, kw = shape
    w = np.sqrt(6 / (depth * kh * kw)) * numbers(name + ".weight", shape)
    w = w.astype(np.float32).astype(np.float16).astype(np.float64)  # Rust has no direct rounding from f64 to f16.
    b = (0.1 * numbers(name + ".bias", (out,))).astype(np.float32).astype(np.float64)
    x = np.pad(x, ((0, 0), (0, 0), *pad))
    h, v = ((x.shape[2] - kh) // stride + 1, (x.shape[3] - kw) // stride + 1)
    y = np.zeros((x.shape[0], out, h, v)) + b[:, None, None]
    for i in range(kh):
        for j in range(kw):
            view = x[:, :, i : i + stride * (h - 1) + 1 : stride, j : j + stride * (v - 1) + 1 : stride]
            if depth == x.shape[1]:
                y += np.einsum("oc,nchw->nohw", w[:, :, i, j], view, optimize=True)
            else:
                y += w[:, 0, i, j, None, None] * view
    return y if top is None else np.clip(y, 0, top)


def mobilenet_v2(x, same):
    def pad(x, stride):
        if not same or stride == 1:
            return ((1, 1), (1, 1))
        return tuple((0, 1) if size % 2 == 0 else (1, 1) for size in x.shape[2:])

    x = conv(x, "features.0.0", (32, 3, 3, 3), 2, pad(x, 2), 6)
    channels, block = 32, 0
    for t, out, repeats, first in [
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    ]:  # fmt: skip
        for repeat in range(repeats):
            block += 1
            name, hidden, stride = f"features.{block}.conv", channels * t, first if repeat == 0 else 1
            y = x
            if t > 1:
                y = conv(y, f"{name}.0.0", (hidden, channels, 1, 1), top=6)
            depthwise, project = (f"{name}.1.0", f"{name}.2") if t > 1 else (f"{name}.0.0", f"{name}.1")
            y = conv(y, depthwise, (hidden, 1, 3, 3), stride, pad(y, stride), 6)
            y = conv(y, project, (out, hidden, 1, 1))
            x = x + y if stride == 1 and channels == out else y
            channels = out
    return conv(x, "features.18.0", (1280, 320, 1, 1), top=6).mean((2, 3))


def max_pool(x):
    """3x3, stride 2, ceil mode."""
    h, w = (-(-(size - 3) // 2) + 1 for size in x.shape[2:])
    x = np.pad(x, ((0, 0), (0, 0), (0, 2), (0, 2)), constant_values=-np.inf)
    views = [x[:, :, i : i + 2 * h - 1 : 2, j : j + 2 * w - 1 : 2] for i in range(3) for j in range(3)]
    return np.max(views, 0)


def squeezenet1_1(x):
    x = conv(x, "features.0", (64, 3, 3, 3), 2, top=np.inf)
    for index, channels, squeezed, expanded in [
        (3, 64, 16, 64), (4, 128, 16, 64), (6, 128, 32, 128), (7, 256, 32, 128),
        (9, 256, 48, 192), (10, 384, 48, 192), (11, 384, 64, 256), (12, 512, 64, 256),
    ]:  # fmt: skip
        if index in (3, 6, 9):
            x = max_pool(x)
        name = f"features.{index}"
        x = conv(x, f"{name}.squeeze", (squeezed, channels, 1, 1), top=np.inf)
        points = conv(x, f"{name}.expand1x1", (expanded, squeezed, 1, 1), top=np.inf)
        windows = conv(x, f"{name}.expand3x3", (expanded, squeezed, 3, 3), 1, ((1, 1), (1, 1)), np.inf)
        x = np.concatenate([points, windows], 1)
    return x.mean((2, 3))


def main():
    # Two images of 45 by 64 pixels: odd and even sizes meet both cases of TensorFlow's padding.
    x = numbers("images", (2, 45, 64, 3)).astype(np.float32).astype(np.float64).transpose(0, 3, 1, 2)
    features = {
        "mobilenet_v2.same": mobilenet_v2(x, True),
        "mobilenet_v2.symmetric": mobilenet_v2(x, False),
        "squeezenet1_1": squeezenet1_1(x),
    }
    for name, y in features.items():
        print(name, y.shape, "mean", y.mean(), "deviation", y.std(), "between images", (y[0] - y[1]).std())
    save_file({name: y.astype(np.float32) for name, y in features.items()}, "golden.safetensors")


if __name__ == "__main__":
    main()
