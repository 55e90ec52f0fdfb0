"""Losses of the decoder's queries: the spans of matched queries, and foreground or background of all.

The report keeps the losses of spans. All weights are those of the public baseline, which the team's public
code has too.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from amrbench.functional.matched_pairs import log_probs, matched_pairs, matched_queries
from amrbench.functional.spans import giou
from amrbench.slots.losses import LossPart
from amrbench.types import BuildContext, Outcome


class L1Loss(nn.Module):
    """Mean distance of centres and widths of matched pairs."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "span-l1" (N,)."""
        pairs = matched_pairs(outcome)
        distance = (pairs.predicted - pairs.true).abs().mean(-1)
        return {"span-l1": self.weight * (distance * pairs.weight).sum((1, 2))}


class SpanL1(LossPart):
    """Distance of centre and width between each true span and its query, in fractions of the recording."""

    use = "span-l1"
    requires = frozenset({"spans"})
    weight: float = Field(10.0, ge=0, description="factor of this loss in the total")

    @override
    def build(self, context: BuildContext) -> nn.Module:
        return L1Loss(self.weight)


class GiouLoss(nn.Module):
    """One minus the generalised IoU of matched pairs."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "span-giou" (N,)."""
        pairs = matched_pairs(outcome)
        distance = 1 - giou(pairs.predicted, pairs.true)
        return {"span-giou": self.weight * (distance * pairs.weight).sum((1, 2))}


class SpanGiou(LossPart):
    """One minus the generalised IoU between each true span and its query."""

    use = "span-giou"
    requires = frozenset({"spans"})
    weight: float = Field(1.0, ge=0, description="factor of this loss in the total")

    @override
    def build(self, context: BuildContext) -> nn.Module:
        return GiouLoss(self.weight)


class ForegroundLoss(nn.Module):
    """Cross entropy of moment or no moment, for every query."""

    def __init__(self, weight: float, background: float) -> None:
        super().__init__()
        self.weight = weight
        self.background = background

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "foreground" (N,), a mean over queries; it is not divided by the weights of the classes."""
        logs = log_probs(outcome.tensors["logits"])
        matched = matched_queries(outcome.matched, logs.shape[2])
        entropy = -torch.where(matched, logs[..., 0], self.background * logs[..., 1])
        return {"foreground": self.weight * entropy.mean((1, 2))}


class Foreground(LossPart):
    """Cross entropy of two classes for every query: matched to a true span, or not.

    A query has two logits, that of a moment first, or one, the log odds of a moment.
    """

    use = "foreground"
    requires = frozenset({"logits"})
    weight: float = Field(4.0, ge=0, description="factor of this loss in the total")
    background: float = Field(0.1, ge=0, description="factor of unmatched queries")

    @override
    def build(self, context: BuildContext) -> nn.Module:
        return ForegroundLoss(self.weight, self.background)
