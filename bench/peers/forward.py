"""Forward passes of a torchvision network up to its features.

Usage: forward.py THREADS NAME SIZE BATCH nchw|channels_last|jit|jit_channels_last|compile [DEVICE]
"""

import sys

import torch
import torchvision

from serve import serve

torch.set_num_threads(int(sys.argv[1]))
name, size, batch, way = sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
device = sys.argv[6] if len(sys.argv) > 6 else "cpu"
model = getattr(torchvision.models, name)(weights=None)
if name == "mobilenet_v2":
    model.classifier = torch.nn.Identity()
elif name.startswith("resnet"):
    model.fc = torch.nn.Identity()
elif name == "vgg16":
    model.classifier = model.classifier[:6]
model.eval().to(device)
images = torch.randn(batch, 3, size, size, device=device)
if way.endswith("channels_last"):
    model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
with torch.inference_mode():
    if way.startswith("jit"):
        model = torch.jit.optimize_for_inference(torch.jit.trace(model, images))  # folds batch norm
    elif way == "compile":
        model = torch.compile(model)


@torch.inference_mode()
def work(n):
    for _ in range(n):
        model(images).cpu()


serve(work)
