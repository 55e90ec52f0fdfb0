"""Runs of frames whose saliency is a large share of the maximum."""

from __future__ import annotations

import torch
from torch.nn import functional

from amrbench.types import Outputs, Proposals
from amrbench_plugins.readouts.saliency import proposals_of, shares_of_maximum


def read_runs(outputs: Outputs, *, threshold: float, count: int) -> Proposals:
    """Return the longest possible runs of frames from a share of the maximum on; the score is their mean.

    Args:
        outputs: With "saliency" (B, T).
        threshold: Smallest share of the maximum, above 0 and up to 1.
        count: Number of proposals; the best runs.
    """
    mask = outputs.mask
    shares = shares_of_maximum(outputs.tensors["saliency"], mask)
    inside = (shares >= threshold) & mask
    begins = inside & ~functional.pad(inside[:, :-1], (1, 0))
    batch, frames = inside.shape
    most = frames // 2 + 1
    # The number of each frame's run; frames outside of runs share the last one, which is dropped.
    run = (begins.cumsum(1) - 1).masked_fill(~inside, most)
    position = torch.arange(frames, device=mask.device).expand(batch, frames)
    lengths = position.new_zeros(batch, most + 1).scatter_add(1, run, torch.ones_like(position))
    sums = shares.new_zeros(batch, most + 1).scatter_add(1, run, shares)
    ends = position.new_zeros(batch, most + 1).scatter_reduce(1, run, position + 1, "amax")
    scores = (sums / lengths.clamp(min=1)).masked_fill(lengths == 0, -torch.inf)
    ends, lengths, scores = ends[:, :most], lengths[:, :most], scores[:, :most]
    return proposals_of(ends - lengths, ends, scores, mask, count)
