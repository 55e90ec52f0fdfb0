"""The most probable segments of a recording."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from amrbench.types import Outputs, Proposals
from amrbench_plugins.segments.chain import log_marginals

_ROUNDING = 1e-3  # frames; an overlap at the limit is within it


@dataclass(frozen=True)
class Picked:
    """Segments of each recording in frames, best first; the end is exclusive."""

    starts: Tensor
    """(B, N)"""
    ends: Tensor
    """(B, N)"""
    scores: Tensor
    """(B, N) -inf where there is no further segment."""


def pick(scores: Tensor, count: int, overlap: float) -> Picked:
    """Pick segments by score, best first, leaving out those that overlap a picked one.

    Args:
        scores: (B, T, T) of the segment from frame i to frame j, both included; -inf for none.
        count: Number of segments to pick.
        overlap: Largest intersection over union with a picked segment.
    """
    left, frames = scores.clone(memory_format=torch.contiguous_format), scores.shape[1]
    first = torch.arange(frames, device=scores.device, dtype=scores.dtype)
    last = first + 1
    starts, ends, tops = [], [], []
    for _ in range(count):
        top, start = left.amax(2).max(1, keepdim=True)
        row = left.gather(1, start[..., None].expand(-1, 1, frames))
        end = row.argmax(2) + 1
        # IoU > overlap means shared x (1 + overlap) > overlap x (both lengths). Both sides are differences of
        # what depends on the end and what depends on the start, so that one comparison covers all segments.
        of_last = (1 + overlap) * last.minimum(end) - overlap * last
        of_first = (1 + overlap) * first.maximum(start) - overlap * first + overlap * (end - start)
        left.masked_fill_((of_last - _ROUNDING)[:, None] > of_first[:, :, None], -torch.inf)
        left.flatten(1).scatter_(1, start * frames + end - 1, -torch.inf)  # also if all overlaps are allowed
        starts.append(start)
        ends.append(end)
        tops.append(top)
    return Picked(torch.cat(starts, 1), torch.cat(ends, 1), torch.cat(tops, 1))


class SegmentPosteriorReadout:
    """Ranks all segments by their marginal probability."""

    def __init__(self, *, count: int, overlap: float, longest: float) -> None:
        """Take the number of proposals, see `pick`, and the longest segment as a share of the recording."""
        self.count = count
        self.overlap = overlap
        self.longest = longest

    @torch.no_grad()
    def __call__(self, outputs: Outputs) -> Proposals:
        """Return the best segments; the score is the probability that exactly this segment is described."""
        mask = outputs.mask
        frames = mask.sum(1)[:, None]
        # Long sums are differenced: in double precision, rounding decides no rank.
        scores = log_marginals(outputs.tensors["segments"].double(), mask).float()
        if self.longest < 1:
            scores = scores.masked_fill(self._too_long(scores, frames), -torch.inf)
        picked = pick(scores, self.count, self.overlap)
        spans = torch.stack([(picked.starts + picked.ends) / 2, picked.ends - picked.starts], -1)
        exists = picked.scores > -torch.inf
        return Proposals(
            (spans / frames[..., None]).float(),
            torch.where(exists, picked.scores.exp(), -torch.inf),
        )

    def _too_long(self, scores: Tensor, frames: Tensor) -> Tensor:
        """Return which segments (B, T, T) are too long; those of one frame never are."""
        index = torch.arange(scores.shape[1], device=scores.device)
        lengths = index[None] - index[:, None] + 1
        return lengths > (self.longest * frames).clamp(min=1)[..., None]
