"""Negative log likelihood of the true segments, and expected loss of overlap with them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from amrbench.functional.spans import to_windows
from amrbench.types import Outcome, Target
from amrbench_plugins.segments.chain import FORBIDDEN, log_marginals, log_partition, relative

_SHORTEST = 1e-6  # frames; lower bound of a denominator


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
        correct = potentials + self.restriction(relevant).to(potentials.dtype)
        return log_partition(potentials, mask) - log_partition(correct, mask)

    def restriction(self, relevant: Tensor) -> Tensor:
        """Return a summand of potentials (B, T, 4) that leaves the correct segmentations only.

        Where a segment starts right after another one, the cut between them has its own log weight.
        """
        after = torch.zeros_like(relevant)
        after[:, 1:] = relevant[:, :-1] & relevant[:, 1:]
        background, inside, start = relevant * FORBIDDEN, ~relevant * FORBIDDEN, after * self.cut
        return torch.stack([background, start, inside, torch.zeros_like(inside)], -1)


class SegmentIouLoss(nn.Module):
    """The expected loss of intersection over union with the true windows."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return the term "segment-iou", a scalar in [0, weight]: a mean over queries with a window."""
        potentials, labelled = outcome.tensors["segments"], outcome.target.spans_mask.any(1)
        with torch.autocast(potentials.device.type, enabled=False):
            iou = expected_iou(potentials.float(), outcome.target, outcome.batch.audio_mask)
        missed = ((1 - iou) * labelled).sum() / labelled.sum().clamp(min=1)
        return {"segment-iou": self.weight * missed}


def expected_iou(potentials: Tensor, target: Target, mask: Tensor) -> Tensor:
    """Return the expected sum of `gains` over the segments of a random segmentation, (B,)."""
    probabilities = log_marginals(potentials, mask).exp()
    return (probabilities * gains(target, mask)).sum((1, 2))


@torch.no_grad()
def gains(target: Target, mask: Tensor) -> Tensor:
    """Return what each segment contributes to the overlap with the true windows, (B, T, T).

    It is the mean over windows of (the share of the window that frames i to j cover) x (their IoU with it).
    Summed over the segments of a segmentation, it is the IoU of the segment that covers a random point of a
    random window, and 0 where that point is background: 1 for the windows themselves.
    """
    frames = mask.sum(1)[:, None, None]
    windows = to_windows(target.spans.float()) * frames  # in frames
    shares = target.spans_mask / target.spans_mask.sum(1, keepdim=True).clamp(min=1)
    edges = torch.arange(mask.shape[1] + 1, device=mask.device, dtype=windows.dtype)
    first, last = edges[:-1, None], edges[1:]
    total = windows.new_zeros(*mask.shape, mask.shape[1])
    for window, share in zip(windows.unbind(1), shares.unbind(1), strict=True):  # one at a time: (B, T, T)
        start, end = (edge[:, None, None] for edge in window.unbind(1))
        length = (end - start).clamp(min=_SHORTEST)
        shared = (last.minimum(end) - first.maximum(start)).clamp(min=0)
        union = (last - first + length - shared).clamp(min=_SHORTEST)
        total += share[:, None, None] * shared / length * shared / union
    return total
