"""Search a curve over time for the windows with the highest contrast to the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from amrbench.types import Outputs, Proposals

_PENALTY = 2.0
"""The range of the scores: a window with this penalty ranks below all without; a picked one gets it twice."""


@dataclass(frozen=True)
class Windows:
    """Windows of each recording, in frames; the end is exclusive."""

    starts: Tensor
    """(B, W)"""
    ends: Tensor
    """(B, W)"""
    scores: Tensor
    """(B, W) in (-1, 1); -inf for a window that does not fit into its recording."""


def contrast(curve: Tensor, mask: Tensor, lengths: Tensor) -> Windows:
    """Score every window of the given lengths by its contrast to the rest of its recording.

    The score is the mean inside minus the mean outside, times sqrt(l (n - l) / n) for l of n frames: the
    statistic of Olshen et al., Circular binary segmentation, Biostatistics 2004. The factor corrects for the
    larger variance of short windows. The score is squashed by x / (1 + |x|), which keeps the order.

    Args:
        curve: (B, T)
        mask: (B, T) True for real frames, which come first.
        lengths: (B, K) frames, from 1 to the number of real frames.

    Returns:
        K * T windows of each recording.
    """
    batch, frames = curve.shape
    sums = functional.pad(curve.float().masked_fill(~mask, 0).cumsum(1), (1, 0))
    starts = torch.arange(frames, device=curve.device).expand(batch, lengths.shape[1], frames)
    ends = starts + lengths[:, :, None]
    inside = _gather(sums, ends.clamp(max=frames)) - _gather(sums, starts)  # (B, K, T) sums
    count = mask.sum(1)[:, None, None]
    rest = count - lengths[:, :, None]
    outside = sums[:, -1][:, None, None] - inside
    difference = inside / lengths[:, :, None] - outside / rest.clamp(min=1)
    score = functional.softsign(difference * (lengths[:, :, None] * rest / count.clamp(min=1)).sqrt())
    score = score.masked_fill(ends > count, -torch.inf)
    return Windows(starts.flatten(1), ends.flatten(1), score.flatten(1))


def best(windows: Windows, count: int, overlap: float) -> Windows:
    """Pick windows by score, best first, skipping those that overlap a picked one.

    If a recording has too few windows, the skipped ones follow, and then the picked ones again. Their scores
    are lowered, so that the list is in the order of its scores.

    Args:
        windows: Candidates, at least one of each recording with a finite score.
        count: Number of windows to pick.
        overlap: Largest intersection over union with a picked window.

    Returns:
        `count` windows of each recording.
    """
    scores, skipped = windows.scores, torch.zeros_like(windows.scores, dtype=torch.bool)
    starts, ends, picked = [], [], []
    for _ in range(count):
        top, index = (scores - _PENALTY * skipped).max(1, keepdim=True)
        start, end = windows.starts.gather(1, index), windows.ends.gather(1, index)
        starts.append(start)
        ends.append(end)
        picked.append(top)
        shared = (windows.ends.minimum(end) - windows.starts.maximum(start)).clamp(min=0)
        union = (windows.ends - windows.starts) + (end - start) - shared
        skipped = skipped | (shared / union > overlap)
        scores = scores.scatter_add(1, index, torch.full_like(top, -2 * _PENALTY))
    return Windows(torch.cat(starts, 1), torch.cat(ends, 1), torch.cat(picked, 1))


class WindowSearch:
    """Slides windows of several lengths over the saliency of each recording and keeps the best."""

    def __init__(self, widths: Sequence[float], *, count: int, overlap: float) -> None:
        """Take the widths (K,) as fractions of a recording; see `best` for the rest."""
        self.widths = torch.tensor(widths, dtype=torch.float32)
        self.count = count
        self.overlap = overlap

    def __call__(self, outputs: Outputs) -> Proposals:
        """Return the windows with the highest contrast to the rest of their recording."""
        mask = outputs.mask
        frames = mask.sum(1, keepdim=True)
        lengths = (self.widths.to(mask.device) * frames).round().long().clamp(min=1).minimum(frames)
        windows = best(contrast(outputs.tensors["saliency"], mask, lengths), self.count, self.overlap)
        spans = torch.stack([(windows.starts + windows.ends) / 2, windows.ends - windows.starts], -1)
        return Proposals(spans / frames[..., None], windows.scores)


def quantiles(widths: Sequence[float], count: int) -> list[float]:
    """Return `count` quantiles of the widths: the medians of `count` equal parts.

    Without widths, return a geometric series from a hundredth of a recording to half of it.
    """
    if not widths:
        return torch.logspace(-2, -0.30103, count).tolist()  # log10 of a half
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.tensor(widths, dtype=torch.float64).quantile(levels).float().tolist()


def _gather(sums: Tensor, index: Tensor) -> Tensor:
    """Return sums (B, T + 1) at an index (B, K, T)."""
    return sums.gather(1, index.flatten(1)).view_as(index)
