"""Means over the rows of a batch, as the reference takes them.

The reference pads a batch to its longest sample and includes the padding in means. Here rows past the longest
sample are left out, so that numbers equal those of the reference and further padding changes nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def in_longest(mask: Tensor) -> Tensor:
    """Return (n,), True for the rows that the longest sample of a mask (B, n) has."""
    return mask.any(0)


def binary_entropy(probability: Tensor, label: Tensor) -> Tensor:
    """Return the binary cross entropy of each probability with its label, of the same shape.

    Logarithms stop at -100, as the reference's do. Always in float32: half precision cannot hold them.
    """
    with torch.autocast(probability.device.type, enabled=False):
        return F.binary_cross_entropy(probability.float(), label.float(), reduction="none")


def frame_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of values (B, T) over all samples and the frames of the longest of them."""
    kept = in_longest(mask).to(values.dtype)
    return (values * kept).sum() / (kept.sum() * len(values)).clamp(min=1)
