"""A training step of a torchvision network whose batch norms are frozen: forward, the mean square of its features as the
loss, backward, Adam.

Usage: finetune.py THREADS NAME SIZE BATCH WAY [DEVICE]

A WAY is made of words, joined by `+`: nchw or channels_last; autocast (to bf16, by PyTorch's choice of operations; weights
and optimizer in f32); on a GPU exact (products in f32) or tf32; fused or foreach, the optimizer's form.
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
model.fc = torch.nn.Identity()
# In evaluation mode norms take their running statistics, and without gradients their weights are constants.
model.eval().to(device)
for module in model.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        module.requires_grad_(False)
images = torch.randn(batch, 3, size, size, device=device)
if "channels_last" in way:
    model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.Adam(trained, lr=1e-5, fused="fused" in way or None, foreach="foreach" in way or None)
types = contextlib.nullcontext()
if "autocast" in way:
    types = torch.autocast(torch.device(device).type, torch.bfloat16)


def work(n):
    for _ in range(n):
        optimizer.zero_grad()
        with types:
            features = model(images)
        features.float().square().mean().backward()
        optimizer.step()
    if device != "cpu":
        torch.cuda.synchronize()


serve(work)
