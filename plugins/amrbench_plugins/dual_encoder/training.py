"""The loss of a model without a decoder, on each frame, and its matcher."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from amrbench.slots.losses import LossPart
from amrbench.slots.matcher import Matcher, MatcherPart
from amrbench.types import BuildContext, Outcome, Target, Tensors
from amrbench_plugins.dual_encoder.model import SIMILARITY


class FrameBce(LossPart):
    """Cross entropy of each frame's similarity to the sentence; both classes weigh the same in a recording.

    A recording with frames of one class alone counts with the mean of that class.
    """

    use = "frame-bce"
    requires = frozenset({SIMILARITY})

    @override
    def build(self, context: BuildContext) -> nn.Module:
        return FrameBceLoss(self.weight)


class FrameBceLoss(nn.Module):
    """See `FrameBce`."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return the term `frame-bce`, a scalar."""
        relevant, real = outcome.target.relevant, outcome.batch.audio_mask
        similarity = outcome.tensors[SIMILARITY]
        entropy = functional.binary_cross_entropy_with_logits(
            similarity, relevant.to(similarity.dtype), reduction="none"
        )
        inside, outside = relevant & real, ~relevant & real
        classes = inside.any(1).long() + outside.any(1).long()
        mean = (_mean(entropy, inside) + _mean(entropy, outside)) / classes.clamp(min=1)
        return {"frame-bce": self.weight * mean.mean()}


class NoMatcher(MatcherPart):
    """No assignment: for models without decoder queries."""

    use = "none"

    @override
    def build(self) -> Matcher:
        return match_nothing


def match_nothing(tensors: Tensors, target: Target) -> Tensor:
    """Return (0, B, W) integers."""
    mask = target.spans_mask
    return torch.empty((0, *mask.shape), dtype=torch.long, device=mask.device)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (B,) over the frames of a mask (B, T); 0 where it is empty."""
    return (values * mask).sum(1) / mask.sum(1).clamp(min=1)
