"""Search a curve over time for the windows that stand out from the rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_SUPPRESSED = 2.0
"""More than the scores span, so that what is left over comes after all that is not."""


@dataclass(frozen=True)
class Windows:
    """Some windows of each recording, in frames; the end is exclusive."""

    starts: Tensor
    """(B, W)"""
    ends: Tensor
    """(B, W)"""
    scores: Tensor
    """(B, W) in (-1, 1); -inf for a window that does not fit into its recording."""


def contrast(curve: Tensor, mask: Tensor, lengths: Tensor) -> Windows:
    """Score every window of the given lengths by how far it stands out from the rest of its recording.

    The score is the mean inside less the mean outside, times sqrt(l (n - l) / n) for l of n frames: the
    statistic of Olshen et al., Circular binary segmentation, Biostatistics 2004, which allows for short
    windows standing out by chance. It is squashed by x / (1 + |x|), which keeps the order.

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
    inside = _at(sums, ends.clamp(max=frames)) - _at(sums, starts)
    count = mask.sum(1)[:, None, None]
    rest = count - lengths[:, :, None]
    outside = sums[:, -1][:, None, None] - inside
    height = inside / lengths[:, :, None] - outside / rest.clamp(min=1)
    score = functional.softsign(height * (lengths[:, :, None] * rest / count.clamp(min=1)).sqrt())
    score = score.masked_fill(ends > count, -torch.inf)
    return Windows(starts.flatten(1), ends.flatten(1), score.flatten(1))


def best(windows: Windows, count: int, overlap: float) -> Windows:
    """Pick windows by score, best first, skipping those that overlap one already picked.

    Where a short recording has too few windows, the skipped ones follow, and then those already picked;
    their scores are lowered so that the order stays right.

    Args:
        windows: candidates, at least one of each recording with a finite score.
        count: number of windows to pick.
        overlap: largest intersection over union with a picked one.

    Returns:
        `count` windows of each recording.
    """
    scores, skipped = windows.scores, torch.zeros_like(windows.scores, dtype=torch.bool)
    starts, ends, picked = [], [], []
    for _ in range(count):
        top, at = (scores - _SUPPRESSED * skipped).max(1, keepdim=True)
        start, end = windows.starts.gather(1, at), windows.ends.gather(1, at)
        starts.append(start)
        ends.append(end)
        picked.append(top)
        skipped = skipped | (_overlap(windows, start, end) > overlap)
        scores = scores.scatter_add(1, at, torch.full_like(top, -2 * _SUPPRESSED))
    return Windows(torch.cat(starts, 1), torch.cat(ends, 1), torch.cat(picked, 1))


class SlidingWindows(nn.Module):
    """Slide windows of several lengths over a curve and keep the best."""

    widths: Tensor

    def __init__(self, widths: Tensor, *, count: int, overlap: float) -> None:
        """Take the widths (K,) as shares of a recording; see `best` for the rest."""
        super().__init__()
        self.register_buffer("widths", widths)
        self.count = count
        self.overlap = overlap

    @torch.no_grad()
    def forward(self, curve: Tensor, mask: Tensor) -> Windows:
        """Return the best windows of curves (B, T)."""
        frames = mask.sum(1, keepdim=True)
        lengths = (self.widths * frames).round().long().clamp(min=1).minimum(frames)
        return best(contrast(curve, mask, lengths), self.count, self.overlap)


def quantiles(widths: tuple[float, ...], count: int) -> Tensor:
    """Return (count,) widths that split the given ones into equal shares.

    Without any, the widths grow by equal factors from a hundredth of a recording to half of it.
    """
    if not widths:
        return torch.logspace(-2, -0.30103, count)
    shares = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.tensor(widths, dtype=torch.float64).quantile(shares).float()


def _at(sums: Tensor, where: Tensor) -> Tensor:
    return sums.gather(1, where.flatten(1)).view_as(where)


def _overlap(windows: Windows, start: Tensor, end: Tensor) -> Tensor:
    """Return (B, W) intersection over union of all windows with one of each recording, (B, 1)."""
    shared = (windows.ends.minimum(end) - windows.starts.maximum(start)).clamp(min=0)
    union = (windows.ends - windows.starts) + (end - start) - shared
    return shared / union
