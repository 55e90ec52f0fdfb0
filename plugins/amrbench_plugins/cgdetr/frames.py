"""Means over the rows of a batch, as the reference takes them.

The reference pads a batch to its longest member and means over padding too. Here rows past the longest
member count nothing, so that more padding changes nothing and the reference's numbers stay.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def in_longest(mask: Tensor) -> Tensor:
    """Return (n,), True for the places that the longest sample of a mask (B, n) has."""
    return mask.any(0)


def entropy(chance: Tensor, wanted: Tensor) -> Tensor:
    """Return the binary cross entropy of chances with wanted labels, of the same shape.

    Logarithms stop at -100, as the reference's do. Always in float32: half precision cannot hold them.
    """
    with torch.autocast(chance.device.type, enabled=False):
        return F.binary_cross_entropy(chance.float(), wanted.float(), reduction="none")


def frame_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of values (B, T) over all samples and all places of the longest of them."""
    kept = in_longest(mask).to(values.dtype)
    return (values * kept).sum() / (kept.sum() * len(values)).clamp(min=1)
