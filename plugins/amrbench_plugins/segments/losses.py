"""Negative log likelihood of the true segments, and their expected overlap."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from amrbench.functional.spans import to_windows
from amrbench.types import Outcome, Target
from amrbench_plugins.segments.chain import FORBIDDEN, log_marginals, log_partition, relative

_SHORTEST = 1e-6  # lower bound of a denominator


class SegmentNllLoss(nn.Module):
    """Minus the log probability that the segments together cover exactly the relevant frames."""

    def __init__(self, weight: float, subdivisions: float) -> None:
        super().__init__()
        self.weight = weight
        self.cut = math.log(subdivisions) if subdivisions > 0 else FORBIDDEN

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return the term "segment-nll", a scalar: a mean over queries."""
        potentials = outcome.tensors["segments"]
        with torch.autocast(potentials.device.type, enabled=False):
            loss = self.of_queries(potentials.float(), outcome.target.relevant, outcome.batch.audio_mask)
        return {"segment-nll": self.weight * loss.mean()}

    def of_queries(self, potentials: Tensor, relevant: Tensor, mask: Tensor) -> Tensor:
        """Return the negative log likelihood of each query, (B,)."""
        potentials = relative(potentials)
        correct = potentials + self.restriction(relevant, potentials.dtype)
        return log_partition(potentials, mask) - log_partition(correct, mask)

    def restriction(self, relevant: Tensor, dtype: torch.dtype) -> Tensor:
        """Return a summand of potentials (B, T, 4) that leaves the correct segmentations only.

        Where a segment starts right after another one, the cut between them has its own log weight.
        """
        after = torch.zeros_like(relevant)
        after[:, 1:] = relevant[:, :-1] & relevant[:, 1:]
        inside, start = relevant.to(dtype), after.to(dtype)
        parts = [inside * FORBIDDEN, start * self.cut, (1 - inside) * FORBIDDEN, torch.zeros_like(inside)]
        return torch.stack(parts, -1)


class SegmentIouLoss(nn.Module):
    """One minus the overlap of segments and true windows, as a harmonic mean of both sides."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return the term "segment-iou", a scalar in [0, weight]: a mean over queries with a window."""
        potentials, labelled = outcome.tensors["segments"], outcome.target.spans_mask.any(1)
        with torch.autocast(potentials.device.type, enabled=False):
            overlap = expected_overlap(potentials.float(), outcome.target, outcome.batch.audio_mask)
        missed = ((1 - overlap) * labelled).sum() / labelled.sum().clamp(min=1)
        return {"segment-iou": self.weight * missed}


def expected_overlap(potentials: Tensor, target: Target, mask: Tensor) -> Tensor:
    """Return 2 I / (N + W) of each query, (B,).

    I is the expected sum of the segments' `best_iou`, N their expected number, W the number of true windows.
    Segments are disjoint, so it is at most 1, which the windows themselves reach.
    """
    probabilities = log_marginals(potentials, mask).exp()
    summed = (probabilities * best_iou(target, mask)).sum((1, 2))
    both = probabilities.sum((1, 2)) + target.spans_mask.sum(1)
    return 2 * summed / both.clamp(min=_SHORTEST)


@torch.no_grad()
def best_iou(target: Target, mask: Tensor) -> Tensor:
    """Return the IoU of frames i to j with the true window that they fit best, (B, T, T); 0 for j < i."""
    windows = to_windows(target.spans) * mask.sum(1)[:, None, None]  # in frames
    edges = torch.arange(mask.shape[1] + 1, device=mask.device, dtype=windows.dtype)
    first, last = edges[:-1, None], edges[1:]
    best = windows.new_zeros(*mask.shape, mask.shape[1])
    # One window at a time, since (B, W, T, T) would be large.
    for window, real in zip(windows.unbind(1), target.spans_mask.unbind(1), strict=True):
        start, end = (edge[:, None, None] for edge in window.unbind(1))
        shared = (last.minimum(end) - first.maximum(start)).clamp(min=0) * real[:, None, None]
        union = last - first + (end - start) - shared
        best = best.maximum(shared / union.clamp(min=_SHORTEST))
    return best.triu()
