"""Product of two square matrices. Usage: matmul.py THREADS SIZE"""

import sys

import torch

from serve import serve

torch.set_num_threads(int(sys.argv[1]))
size = int(sys.argv[2])
a, b = torch.randn(size, size), torch.randn(size, size)


def work(n):
    for _ in range(n):
        a @ b


serve(work)
