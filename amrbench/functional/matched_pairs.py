"""Decoder queries and the true spans they are matched to; shared by losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from amrbench.types import Outcome


@dataclass(frozen=True)
class MatchedPairs:
    """True spans and the predictions matched to them, for every decoder layer."""

    predicted: Tensor
    """(N, B, W, 2)"""
    true: Tensor
    """(B, W, 2)"""
    weight: Tensor
    """(N, B, W) weight of each matched pair in the mean of its layer, zero elsewhere."""


def matched_pairs(outcome: Outcome) -> MatchedPairs:
    """Return the matched pairs; the mean of a layer is over all pairs of the batch."""
    index = outcome.matched.clamp(min=0)
    predicted = outcome.tensors["spans"].gather(2, index[..., None].expand(*index.shape, 2))
    real = ((outcome.matched >= 0) & outcome.target.spans_mask).to(predicted.dtype)
    weight = real / real.sum((1, 2), keepdim=True).clamp(min=1)
    # Padding is compared too, with weight 0; a valid span keeps its loss and gradient finite.
    true = torch.where(outcome.target.spans_mask[..., None], outcome.target.spans, 0.5)
    return MatchedPairs(predicted, true.to(predicted.dtype), weight)


def matched_queries(matched: Tensor, queries: int) -> Tensor:
    """Return (N, B, Q), True for queries that are matched to a span."""
    count = torch.zeros(*matched.shape[:2], queries, dtype=torch.int32, device=matched.device)
    return count.scatter_add(2, matched.clamp(min=0), (matched >= 0).to(torch.int32)) > 0


def log_probs(logits: Tensor) -> Tensor:
    """Return (..., 2), the log probabilities of a moment and of no moment.

    Args:
        logits: (..., 2) with the moment first, or (..., 1), the log odds of a moment.
    """
    if logits.shape[-1] == 1:
        logits = torch.cat([logits, torch.zeros_like(logits)], -1)
    return logits.log_softmax(-1)


def log_odds(logits: Tensor) -> Tensor:
    """Return (...), the log odds of a moment; `logits` are as in `log_probs`."""
    return logits[..., 0] if logits.shape[-1] == 1 else logits[..., 0] - logits[..., 1]
