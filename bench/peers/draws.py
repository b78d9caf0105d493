"""Random draws of a step: PyTorch's own, or those of a step that `hashlab trace` recorded.

A peer takes its dropout from `torch.nn` and its Gumbel variables from here; neither tells whether it repeats a step.
"""

import contextlib
import sys
from unittest import mock

import torch
from torch.nn import functional as F


def gumbel(shape, like):
    """Variables of the standard Gumbel distribution."""
    uniform = torch.rand(shape, dtype=like.dtype).clamp(min=torch.finfo(like.dtype).tiny)
    return -torch.log(-torch.log(uniform))


@contextlib.contextmanager
def repeated(recorded):
    """Within, every draw is the next one of the record, which has to be used up."""
    left = list(recorded)

    def dropout(x, p=0.5, training=True, inplace=False):
        if not training or p == 0:
            return x
        mask = left.pop(0)
        kept = torch.tensor(1 / (1 - p), dtype=torch.float32).to(x.dtype)  # the record is in single precision
        assert mask.numel() == x.numel(), f"a mask of {tuple(mask.shape)} for {tuple(x.shape)}"
        assert ((mask == 0) | (mask == kept)).all(), f"a mask with other values than 0 and {kept}"
        return x * mask.view_as(x)

    def noise(shape, like):
        drawn = left.pop(0)
        assert drawn.shape == shape, f"draws of {tuple(drawn.shape)} for {tuple(shape)}"
        return drawn

    with mock.patch.object(F, "dropout", dropout), mock.patch.object(sys.modules[__name__], "gumbel", noise):
        yield
    assert not left, f"{len(left)} draws were not used"
