"""Forward passes of a torchvision network up to its features.

Usage: forward.py THREADS NAME SIZE BATCH WAY [DEVICE]

A WAY is made of words, joined by `+`: nchw or channels_last; bf16 (weights and images) or autocast (to bf16, by PyTorch's
choice of operations); on a GPU exact (products in f32) or tf32; jit or compile.
"""

import contextlib
import sys

import torch
import torchvision

from serve import serve

torch.set_num_threads(int(sys.argv[1]))
torch.backends.cudnn.benchmark = True
name, size, batch, way = sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5].split("+")
device = sys.argv[6] if len(sys.argv) > 6 else "cpu"
if "exact" in way or "tf32" in way:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = "tf32" in way
model = getattr(torchvision.models, name)(weights=None)
if name == "mobilenet_v2":
    model.classifier = torch.nn.Identity()
elif name.startswith("resnet"):
    model.fc = torch.nn.Identity()
elif name == "vgg16":
    model.classifier = model.classifier[:6]
elif name == "vit_b_16":
    model.heads = torch.nn.Identity()
model.eval().to(device)
images = torch.randn(batch, 3, size, size, device=device)
if "channels_last" in way:
    model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
if "bf16" in way:
    model, images = model.bfloat16(), images.bfloat16()
types = contextlib.nullcontext()
if "autocast" in way:
    types = torch.autocast(torch.device(device).type, torch.bfloat16)
with torch.inference_mode(), types:
    if "jit" in way:
        model = torch.jit.optimize_for_inference(torch.jit.trace(model, images))  # folds batch norm
    elif "compile" in way:
        model = torch.compile(model)


@torch.inference_mode()
def work(n):
    with types:
        for _ in range(n):
            model(images).float().cpu()


serve(work)
