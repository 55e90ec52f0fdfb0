"""Losses of the decoder's queries: the spans of matched queries, and foreground or background of all."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from amrbench.functional.matched_pairs import log_probs, matched_pairs, matched_queries
from amrbench.functional.spans import giou
from amrbench.types import Outcome

BACKGROUND = 0.1
"""Factor of unmatched queries, which are the most; that of the public baseline, as in DETR."""


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean distance of centres and widths, (...)."""
    return (a - b).abs().mean(-1)


def one_minus_giou(a: Tensor, b: Tensor) -> Tensor:
    """Return one minus the generalised IoU, (...)."""
    return 1 - giou(a, b)


class PairLoss(nn.Module):
    """Mean of a distance over matched pairs."""

    def __init__(self, name: str, distance: Callable[[Tensor, Tensor], Tensor], weight: float) -> None:
        super().__init__()
        self.name = name
        self.distance = distance
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return the term (N,) by the loss's name."""
        pairs = matched_pairs(outcome)
        distance = self.distance(pairs.predicted, pairs.true)
        return {self.name: self.weight * (distance * pairs.weight).sum((1, 2))}


class ForegroundLoss(nn.Module):
    """Cross entropy of moment or no moment, for every query."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "foreground" (N,), a mean over queries; it is not divided by the weights of the classes."""
        logs = log_probs(outcome.tensors["logits"])
        matched = matched_queries(outcome.matched, logs.shape[2])
        entropy = -torch.where(matched, logs[..., 0], BACKGROUND * logs[..., 1])
        return {"foreground": self.weight * entropy.mean((1, 2))}
