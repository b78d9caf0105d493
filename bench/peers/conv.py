"""Forward and backward pass of a 3x3 convolution. Usage: conv.py THREADS CHANNELS SIZE nchw|channels_last"""

import sys

import torch
from torch.nn import functional as F

from serve import serve

IMAGES = 32

torch.set_num_threads(int(sys.argv[1]))
channels, size = int(sys.argv[2]), int(sys.argv[3])
layout = torch.channels_last if sys.argv[4] == "channels_last" else torch.contiguous_format
x = torch.randn(IMAGES, channels, size, size).to(memory_format=layout).requires_grad_()
w = (0.05 * torch.randn(channels, channels, 3, 3)).to(memory_format=layout).requires_grad_()
b = torch.randn(channels).requires_grad_()
dy = torch.ones(IMAGES, channels, size, size).to(memory_format=layout)


def work(n):
    for _ in range(n):
        x.grad = w.grad = b.grad = None
        F.conv2d(x, w, b, padding=1).backward(dy)


serve(work)
