"""How a model without a decoder is trained: frame by frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from amrbench.slots.losses import LossPart
from amrbench.slots.matcher import Matcher, MatcherPart
from amrbench.types import BuildContext, Outcome, Target, Tensors
from amrbench_plugins.dual_encoder.model import SIMILARITY


class FrameBce(LossPart):
    """Cross-entropy of each frame's similarity to the sentence; both classes weigh the same in a recording.

    A recording without relevant frames, or with no other, counts with the class that it has.
    """

    use = "frame-bce"
    requires = frozenset({SIMILARITY})

    def build(self, context: BuildContext) -> nn.Module:
        """Return the loss."""
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
        each = functional.binary_cross_entropy_with_logits(
            similarity, relevant.to(similarity.dtype), reduction="none"
        )
        inside, outside = relevant & real, ~relevant & real
        classes = inside.any(1).long() + outside.any(1).long()
        mean = (_mean(each, inside) + _mean(each, outside)) / classes.clamp(min=1)
        return {"frame-bce": self.weight * mean.mean()}


class NoMatcher(MatcherPart):
    """No assignment: for models without decoder queries."""

    use = "none"

    def build(self) -> Matcher:
        """Return the matcher."""
        return match_nothing


def match_nothing(tensors: Tensors, target: Target) -> Tensor:
    """Return (0, B, W) integers."""
    mask = target.spans_mask
    return torch.empty((0, *mask.shape), dtype=torch.long, device=mask.device)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (B,) over masked frames (B, T); 0 where there is none."""
    return (values * mask).sum(1) / mask.sum(1).clamp(min=1)
