"""Arithmetic of spans: intervals given as (centre, width) in the last axis.

All functions broadcast over the leading axes, so `iou(a[:, None], b)` compares every pair.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SHORTEST = 1e-6  # lower bound of a denominator, because two equal points would give 0/0


def to_windows(spans: Tensor) -> Tensor:
    """Return (start, end) of spans in the same unit, (..., 2)."""
    centre, half = spans[..., 0], spans[..., 1] / 2
    return torch.stack([centre - half, centre + half], -1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union of spans, (...); 0 for two equal points."""
    overlap, union, _ = _extents(a, b)
    return overlap / union.clamp(min=_SHORTEST)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalised IoU of spans in one dimension, (...), from -1 to 1.

    It is the IoU minus the fraction of the hull that neither span covers (Rezatofighi et al. 2019, eq. 3), so
    that spans without overlap have a gradient too. 0 for two equal points.
    """
    overlap, union, hull = _extents(a, b)
    return overlap / union.clamp(min=_SHORTEST) - (hull - union) / hull.clamp(min=_SHORTEST)


def inverse_sigmoid(x: Tensor, eps: float = 1e-3) -> Tensor:
    """Return the logit of x clamped to [0, 1]; numerator and denominator are at least `eps`."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))


def _extents(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the lengths of overlap, union and hull of spans."""
    (a_start, a_end), (b_start, b_end) = to_windows(a).unbind(-1), to_windows(b).unbind(-1)
    overlap = (torch.minimum(a_end, b_end) - torch.maximum(a_start, b_start)).clamp(min=0)
    union = (a_end - a_start) + (b_end - b_start) - overlap
    return overlap, union, torch.maximum(a_end, b_end) - torch.minimum(a_start, b_start)
