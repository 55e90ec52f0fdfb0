"""What decoder queries say beside the true spans that they are matched to; shared by losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from amrbench.types import Outcome


@dataclass(frozen=True)
class MatchedPairs:
    """True spans beside the predictions matched to them, layer by layer."""

    predicted: Tensor
    """(N, B, W, 2)"""
    true: Tensor
    """(B, W, 2)"""
    weight: Tensor
    """(N, B, W); one share of the layer's mean for each matched pair, zero elsewhere."""


def matched_pairs(outcome: Outcome) -> MatchedPairs:
    """Gather the matched pairs; the mean of a layer pools all pairs of the batch."""
    index = outcome.matched.clamp(min=0)
    predicted = outcome.tensors["spans"].gather(2, index[..., None].expand(*index.shape, 2))
    real = ((outcome.matched >= 0) & outcome.target.spans_mask).to(predicted.dtype)
    weight = real / real.sum((1, 2), keepdim=True).clamp(min=1)
    # Where nothing is true the padding of the target is compared, so it must be harmless.
    true = torch.where(outcome.target.spans_mask[..., None], outcome.target.spans, 0.5)
    return MatchedPairs(predicted, true.to(predicted.dtype), weight)


def matched_queries(matched: Tensor, queries: int) -> Tensor:
    """Return (N, B, Q), True for queries that are matched to a span."""
    hits = torch.zeros(*matched.shape[:2], queries, dtype=torch.int32, device=matched.device)
    return hits.scatter_add(2, matched.clamp(min=0), (matched >= 0).to(torch.int32)) > 0


def log_probs(logits: Tensor) -> Tensor:
    """Return (..., 2), the logarithms of the chances of a moment and of none.

    Args:
        logits: (..., 2) with the moment first, or (..., 1), the log odds of a moment alone.
    """
    if logits.shape[-1] == 1:
        logits = torch.cat([logits, torch.zeros_like(logits)], -1)
    return logits.log_softmax(-1)


def log_odds(logits: Tensor) -> Tensor:
    """Return (...), the log odds of a moment, of the same logits as `log_probs` takes."""
    return logits[..., 0] if logits.shape[-1] == 1 else logits[..., 0] - logits[..., 1]
