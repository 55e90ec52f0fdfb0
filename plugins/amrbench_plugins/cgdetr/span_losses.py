"""Losses of the decoder's queries: spans of the matched ones, foreground or background of all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn

from amrbench.slots import LossPart
from amrbench.spans import giou
from amrbench.types import Context, Outcome


@dataclass(frozen=True)
class Pairs:
    """True spans beside the predictions matched to them, layer by layer."""

    predicted: Tensor
    """(N, B, W, 2)"""
    true: Tensor
    """(B, W, 2)"""
    weight: Tensor
    """(N, B, W); one share of the layer's mean for each matched pair, zero elsewhere."""


def pairs_of(outcome: Outcome) -> Pairs:
    """Gather the matched pairs; the mean of a layer pools all pairs of the batch."""
    index = outcome.matched.clamp(min=0)
    predicted = outcome.tensors["spans"].gather(2, index[..., None].expand(*index.shape, 2))
    real = ((outcome.matched >= 0) & outcome.target.spans_mask).to(predicted.dtype)
    weight = real / real.sum((1, 2), keepdim=True).clamp(min=1)
    # Where nothing is true the padding of the target is compared, so it must be harmless.
    true = torch.where(outcome.target.spans_mask[..., None], outcome.target.spans, 0.5)
    return Pairs(predicted, true.to(predicted.dtype), weight)


class L1Loss(nn.Module):
    """Mean distance of centres and widths of matched pairs."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "span-l1" (N,)."""
        pairs = pairs_of(outcome)
        distance = (pairs.predicted - pairs.true).abs().mean(-1)
        return {"span-l1": self.weight * (distance * pairs.weight).sum((1, 2))}


class SpanL1(LossPart):
    """Distance of centre and width between each true span and its query, in shares of the recording."""

    use = "span-l1"
    requires = frozenset({"spans"})
    weight: float = Field(10.0, ge=0, description="factor of this loss in the total")

    def build(self, context: Context) -> nn.Module:
        """Return the loss."""
        return L1Loss(self.weight)


class GiouLoss(nn.Module):
    """One minus the generalised IoU of matched pairs."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "span-giou" (N,)."""
        pairs = pairs_of(outcome)
        miss = 1 - giou(pairs.predicted, pairs.true)
        return {"span-giou": self.weight * (miss * pairs.weight).sum((1, 2))}


class SpanGiou(LossPart):
    """One minus the generalised IoU between each true span and its query."""

    use = "span-giou"
    requires = frozenset({"spans"})
    weight: float = Field(1.0, ge=0, description="factor of this loss in the total")

    def build(self, context: Context) -> nn.Module:
        """Return the loss."""
        return GiouLoss(self.weight)


class ForegroundLoss(nn.Module):
    """Cross entropy of moment or no moment, for every query."""

    def __init__(self, weight: float, background: float) -> None:
        super().__init__()
        self.weight = weight
        self.background = background

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "foreground" (N,): the plain mean over queries, not divided by the class weights."""
        logs = log_chances(outcome.tensors["logits"])
        found = found_queries(outcome.matched, logs.shape[2])
        entropy = -torch.where(found, logs[..., 0], self.background * logs[..., 1])
        return {"foreground": self.weight * entropy.mean((1, 2))}


def found_queries(matched: Tensor, queries: int) -> Tensor:
    """Return (N, B, Q), True for queries that are matched to a span."""
    hits = torch.zeros(*matched.shape[:2], queries, dtype=torch.int32, device=matched.device)
    return hits.scatter_add(2, matched.clamp(min=0), (matched >= 0).to(torch.int32)) > 0


def log_chances(logits: Tensor) -> Tensor:
    """Return (..., 2), the logarithms of the chances of a moment and of none.

    Args:
        logits: (..., 2) with the moment first, or (..., 1), the log odds of a moment alone.
    """
    if logits.shape[-1] == 1:
        logits = torch.cat([logits, torch.zeros_like(logits)], -1)
    return logits.log_softmax(-1)


def log_odds(logits: Tensor) -> Tensor:
    """Return (...), the log odds of a moment, of the same logits as `log_chances` takes."""
    return logits[..., 0] if logits.shape[-1] == 1 else logits[..., 0] - logits[..., 1]


class Foreground(LossPart):
    """Cross entropy of two classes for every query: matched to a true span, or not.

    Reads two logits a query, the moment's first, or one, its log odds.
    """

    use = "foreground"
    requires = frozenset({"logits"})
    weight: float = Field(4.0, ge=0, description="factor of this loss in the total")
    background: float = Field(0.1, ge=0, description="factor of queries that are matched to nothing")

    def build(self, context: Context) -> nn.Module:
        """Return the loss."""
        return ForegroundLoss(self.weight, self.background)
