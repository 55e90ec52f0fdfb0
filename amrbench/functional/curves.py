"""Means of a curve over time inside and outside of spans."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from amrbench.functional.spans import to_windows

_SHORTEST = 1e-6  # of a length in frames that is divided by


@dataclass(frozen=True)
class Means:
    """Means of a curve for each span."""

    inside: Tensor
    """(B, N)"""
    outside: Tensor
    """(B, N) over the rest of the recording; the mean of all where a span leaves no rest."""


def means_of(curve: Tensor, mask: Tensor, spans: Tensor) -> Means:
    """Return the means of a curve inside and outside of spans.

    The curve is constant during a frame, so a frame that a span covers in part counts in part. A span is cut
    to the recording; one that is empty, or outside, has the value of the nearest frame as its mean inside.

    Args:
        curve: (B, T)
        mask: (B, T) True for real frames, which come first.
        spans: (B, N, 2) centre and width as fractions of the real frames.
    """
    curve = curve.float().masked_fill(~mask, 0)
    frames = mask.sum(1, keepdim=True).float()
    sums = functional.pad(curve.cumsum(1), (1, 0))
    # Spans that are not numbers are refused later; here they must not become indices.
    edges = (to_windows(spans.float()) * frames[..., None]).nan_to_num().clamp(min=0)
    edges = edges.minimum(frames[..., None])
    starts, ends = edges.unbind(-1)
    covered = ends - starts
    within = _integral(curve, sums, ends) - _integral(curve, sums, starts)
    nearest = curve.gather(1, starts.long().minimum(frames.long() - 1).clamp(min=0))
    total = sums.gather(1, mask.sum(1, keepdim=True))
    rest = frames - covered
    inside = torch.where(covered > _SHORTEST, within / covered.clamp(min=_SHORTEST), nearest)
    outside = torch.where(rest > _SHORTEST, (total - within) / rest.clamp(min=_SHORTEST), total / frames)
    return Means(inside, outside)


def _integral(curve: Tensor, sums: Tensor, until: Tensor) -> Tensor:
    """Return the integrals (B, N) from 0 to times in frames; `sums` (B, T + 1) are those to each edge."""
    whole = until.floor()
    index = whole.long()
    value = curve.gather(1, index.clamp(max=curve.shape[1] - 1))
    return sums.gather(1, index) + (until - whole) * value
