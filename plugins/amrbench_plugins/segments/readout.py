"""The list of segments that is expected to cover the described moments best."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from amrbench.types import Outputs, Proposals
from amrbench_plugins.segments.chain import log_marginals


@dataclass(frozen=True)
class Segments:
    """Segments of each recording in frames; the end is exclusive."""

    starts: Tensor
    """(B, N)"""
    ends: Tensor
    """(B, N)"""
    scores: Tensor
    """(B, N) -inf where there is no further segment."""


def most_probable(marginals: Tensor, count: int) -> Segments:
    """Return the most probable segments, best first.

    Args:
        marginals: (B, T, T) log probability of the segment from frame i to frame j, both included; -inf for
            none.
        count: Number of segments; fewer where there are not as many pairs of frames.
    """
    frames = marginals.shape[1]
    scores, index = marginals.flatten(1).topk(min(count, frames**2), dim=1)
    starts = index // frames
    return Segments(starts, (index % frames + 1).maximum(starts), scores)  # empty where there is none


def overlaps(segments: Segments) -> Tensor:
    """Return the intersection over union of all pairs of segments, (B, N, N); 0 with an empty one."""
    starts, ends = segments.starts.double(), segments.ends.double()
    lengths = ends - starts
    shared = ends[:, :, None].minimum(ends[:, None]) - starts[:, :, None].maximum(starts[:, None])
    shared = shared.clamp(min=0)
    return shared / (lengths[:, :, None] + lengths[:, None] - shared).clamp(min=1)


def covering(segments: Segments, gains: Tensor, count: int) -> Segments:
    """Pick segments one by one, each time the one that adds most to what is expected to be covered.

    A list of segments covers a described segment as well as its best one does. The expectation is over the
    described segments; what a pick adds never grows, so the list is in the order of its scores. Greedy picks
    reach at least 63 % of the best list of their length (Nemhauser, Wolsey and Fisher 1978).

    Args:
        segments: Of which some are picked; their scores are log probabilities of being described.
        gains: (B, N, N) how well the first segment of a pair covers the second, from 0 to 1.
        count: Number of picks.
    """
    probabilities = segments.scores.double().exp()
    left = torch.where(segments.scores > -torch.inf, 0.0, -torch.inf)
    covered = torch.zeros_like(probabilities)
    picked, added = [], []
    for _ in range(min(count, probabilities.shape[1])):
        more = ((gains - covered[:, None]).clamp(min=0) * probabilities[:, None]).sum(-1) + left
        best, index = more.max(1, keepdim=True)
        covered = covered.maximum(gains.gather(1, index[..., None].expand(-1, -1, gains.shape[2]))[:, 0])
        left = left.scatter(1, index, -torch.inf)
        picked.append(index)
        added.append(best)
    chosen = torch.cat(picked, 1)
    return Segments(segments.starts.gather(1, chosen), segments.ends.gather(1, chosen), torch.cat(added, 1))


class SegmentPosteriorReadout:
    """Picks the segments that are expected to overlap with the described ones."""

    def __init__(self, *, count: int, candidates: int, low: float, high: float, longest: float) -> None:
        """Take the options of the part `segment-posterior`."""
        self.count = count
        self.candidates = candidates
        self.low = low
        self.high = high
        self.longest = longest

    @torch.no_grad()
    def __call__(self, outputs: Outputs) -> Proposals:
        """Return the best segments; the score is what each adds to the expected cover of the list."""
        mask = outputs.mask
        frames = mask.sum(1)[:, None]
        # Long sums are differenced: in double precision, rounding decides no rank.
        marginals = log_marginals(outputs.tensors["segments"].double(), mask)
        if self.longest < 1:
            marginals = marginals.masked_fill(self._too_long(marginals, frames), -torch.inf)
        segments = most_probable(marginals, self.candidates)
        gains = ((overlaps(segments) - self.low) / (self.high - self.low)).clamp(0, 1)
        picked = covering(segments, gains, self.count)
        spans = torch.stack([(picked.starts + picked.ends) / 2, picked.ends - picked.starts], -1)
        return Proposals((spans / frames[..., None]).float(), picked.scores.float())

    def _too_long(self, scores: Tensor, frames: Tensor) -> Tensor:
        """Return which segments (B, T, T) are too long; those of one frame never are."""
        index = torch.arange(scores.shape[1], device=scores.device)
        lengths = index[None] - index[:, None] + 1
        return lengths > (self.longest * frames).clamp(min=1)[..., None]
