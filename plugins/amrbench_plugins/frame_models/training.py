"""The loss of a model without a decoder, on each frame, and its matcher."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from amrbench.types import Outcome, Target, Tensors


class FrameBceLoss(nn.Module):
    """Cross entropy of frames; both classes weigh the same in a recording."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return the term "frame-bce", a scalar."""
        relevant, real = outcome.target.relevant, outcome.batch.audio_mask
        saliency = outcome.tensors["saliency"]
        entropy = functional.binary_cross_entropy_with_logits(
            saliency, relevant.to(saliency.dtype), reduction="none"
        )
        inside, outside = relevant & real, ~relevant & real
        classes = inside.any(1).long() + outside.any(1).long()
        mean = (_mean(entropy, inside) + _mean(entropy, outside)) / classes.clamp(min=1)
        return {"frame-bce": self.weight * mean.mean()}


def match_nothing(tensors: Tensors, target: Target) -> Tensor:
    """Return (0, B, W) integers."""
    mask = target.spans_mask
    return torch.empty((0, *mask.shape), dtype=torch.long, device=mask.device)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (B,) over the frames of a mask (B, T); 0 where it is empty."""
    return (values * mask).sum(1) / mask.sum(1).clamp(min=1)
