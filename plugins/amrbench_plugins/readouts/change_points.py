"""Segments between changes of the saliency, after the sound event bounding boxes of Ebbers et al. 2024."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from amrbench.types import Outputs, Proposals
from amrbench_plugins.readouts.saliency import proposals_of, shares_of_maximum


@dataclass(frozen=True)
class Segments:
    """Segments of each recording in the order of time, with gaps of at least one frame between them."""

    starts: Tensor
    """(B, S) first frame."""
    ends: Tensor
    """(B, S) the frame after the last."""
    number: Tensor
    """(B,) how many of the S are real; they come first."""

    def means(self, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means of (B, T) in the segments (B, S) and in the gaps between them (B, S - 1)."""
        sums = functional.pad(shares.cumsum(1), (1, 0))

        def mean(starts: Tensor, ends: Tensor) -> Tensor:
            return (sums.gather(1, ends) - sums.gather(1, starts)) / (ends - starts).clamp(min=1)

        return mean(self.starts, self.ends), mean(self.ends[:, :-1], self.starts[:, 1:])

    def join(self, gaps: Tensor, rows: Tensor) -> Segments:
        """Return the segments without the gap with index (B,) in those rows (B,) that are True."""
        last = self.starts.shape[1] - 1
        index = torch.arange(last + 1, device=gaps.device).expand_as(self.starts)
        gap = gaps.masked_fill(~rows, last + 1)[:, None]
        starts = self.starts.gather(1, (index + (index > gap)).clamp(max=last))
        ends = self.ends.gather(1, (index + (index >= gap)).clamp(max=last))
        return Segments(starts, ends, self.number - rows.long())


def read_change_points(
    outputs: Outputs, *, filter_: int, absolute: float, relative: float, count: int
) -> Proposals:
    """Return segments from a maximum of the step filter to its next minimum; the score is their mean.

    Args:
        outputs: With "saliency" (B, T).
        filter_: Even number of frames that the step filter covers.
        absolute: See `join_segments`.
        relative: See `join_segments`.
        count: Number of proposals; the best segments.
    """
    mask = outputs.mask
    shares = shares_of_maximum(outputs.tensors["saliency"], mask)
    segments = join_segments(shares, change_segments(shares, mask, filter_ // 2), absolute, relative)
    real = torch.arange(segments.starts.shape[1], device=mask.device) < segments.number[:, None]
    scores = segments.means(shares)[0].masked_fill(~real, -torch.inf)
    return proposals_of(segments.starts, segments.ends, scores, mask, count)


def change_segments(shares: Tensor, mask: Tensor, half: int) -> Segments:
    """Return a segment from each local maximum of the step filter to the next local minimum.

    The filter at a point of time between two frames is the mean of the `half` frames after it minus the mean
    of those before it. Frames outside of the recording count as 0. Of a flat maximum or minimum, the last
    point counts.

    Args:
        shares: (B, T) in [0, 1]; 0 in padding, and above 0 somewhere in each recording.
        mask: (B, T) True for real frames, which come first.
        half: Frames on each side.
    """
    batch, frames = shares.shape
    means = functional.pad(shares, (half, half)).unfold(1, half, 1).mean(-1)
    step = means[:, half:] - means[:, :-half]  # (B, T + 1)
    point = torch.arange(frames + 1, device=shares.device).expand(batch, frames + 1)
    end = mask.sum(1, keepdim=True)
    after = functional.pad(step.diff(dim=1).sign(), (0, 1)).masked_fill(point >= end, 1)
    moved = torch.where(after != 0, point, -1).cummax(1).values[:, :-1]  # the last point with a change
    earlier = after.gather(1, moved.clamp(min=0)).masked_fill(moved < 0, 1)
    before = functional.pad(earlier, (1, 0), value=1)
    tops = (before > 0) & (after < 0)
    bottoms = (before < 0) & (after > 0) & (point <= end)
    most = frames // 2 + 1
    starts, ends = (torch.where(points, point, frames).sort(1).values[:, :most] for points in (tops, bottoms))
    return Segments(starts, ends, tops.sum(1))


def join_segments(shares: Tensor, segments: Segments, absolute: float, relative: float) -> Segments:
    """Join neighbours until each gap is clearly lower than the higher of its two neighbours.

    A gap stays if its mean is lower by more than `absolute`, and by more than the factor `relative`. The
    gap that is least below its higher neighbour closes first, and the mean of the joined segment is that of
    all its frames.

    Args:
        shares: (B, T)
        segments: Of each recording.
        absolute: From 0.
        relative: From 1.
    """
    gaps = torch.arange(segments.starts.shape[1] - 1, device=shares.device)
    while True:
        inside, between = segments.means(shares)
        higher = torch.maximum(inside[:, :-1], inside[:, 1:])
        drop = higher - between
        close = (drop <= absolute) | (higher <= relative * between)
        close = close & (gaps < segments.number[:, None] - 1)
        rows = close.any(1) if len(gaps) else torch.zeros_like(segments.number, dtype=torch.bool)
        if not bool(rows.any()):
            return segments
        segments = segments.join(drop.masked_fill(~close, torch.inf).argmin(1), rows)
