"""Frame-wise saliency as shares of its maximum, and segments of frames as proposals."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from amrbench.types import Proposals


def shares_of_maximum(saliency: Tensor, mask: Tensor) -> Tensor:
    """Return sigmoid(saliency) divided by its maximum over the recording (arXiv 2610.05737).

    Args:
        saliency: (B, T) logits.
        mask: (B, T) True for real frames.

    Returns:
        (B, T) float32 in [0, 1], exactly 1 at the maximum and 0 in padding.
    """
    # By way of logarithms: far below 0 all sigmoids would be 0, and their ratio 0/0.
    logs = functional.logsigmoid(saliency.float())
    top = logs.masked_fill(~mask, torch.finfo(logs.dtype).min).amax(1, keepdim=True)
    return (logs - top).clamp(max=0).exp().masked_fill(~mask, 0)


def proposals_of(starts: Tensor, ends: Tensor, scores: Tensor, mask: Tensor, count: int) -> Proposals:
    """Return the best segments of each recording, best first.

    Args:
        starts: (B, S) first frame of each segment.
        ends: (B, S) the frame after its last.
        scores: (B, S) higher is better; -inf for no segment.
        mask: (B, T) True for real frames, which come first.
        count: Number N of proposals; where there are fewer segments, the rest has the score -inf and empty
            spans.
    """
    missing = max(0, count - scores.shape[1])
    best, order = scores.sort(dim=1, descending=True, stable=True)
    best = functional.pad(best[:, :count], (0, missing), value=-torch.inf)
    start, end = (functional.pad(x.gather(1, order[:, :count]), (0, missing)) for x in (starts, ends))
    frames = mask.sum(1)[:, None, None].clamp(min=1)
    spans = torch.stack([(start + end) / 2, (end - start).to(best.dtype)], -1) / frames
    return Proposals(spans.masked_fill(best.isinf()[..., None], 0), best)
