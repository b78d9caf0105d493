"""A training step of CIBHash's head. Usage: head.py THREADS DIM eager|compile [DEVICE]"""

import sys

import torch

import cibhash
from serve import serve

ITEMS, BATCH, BITS = 2048, 64, 64

torch.manual_seed(0)
torch.set_num_threads(int(sys.argv[1]))
dim = int(sys.argv[2])
device = sys.argv[4] if len(sys.argv) > 4 else "cpu"
views = torch.randn(2 * ITEMS, dim, device=device)  # view 1 of every item, then view 2
model = cibhash.head(dim, BITS).to(device)
optimizer, objective = cibhash.adam(model, 1e-3), cibhash.Objective()


def loss_of(features):
    return objective(model(features))


if sys.argv[3] == "compile":
    loss_of(views[: 2 * BATCH])  # fills the objective's constants
    loss_of = torch.compile(loss_of, dynamic=False)


def work(n):
    for _ in range(n):
        items = torch.randperm(ITEMS, device=device)[:BATCH]
        loss = loss_of(views.index_select(0, torch.cat([items, items + ITEMS])))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    loss.item()  # waits for a GPU


serve(work)
