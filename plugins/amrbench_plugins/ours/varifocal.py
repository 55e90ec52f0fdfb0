"""Varifocal loss: the classification loss of the report, section 3.1.

The report names the loss and cites VarifocalNet (Zhang et al., CVPR 2021). From the code of that paper:
alpha, gamma, the gradient through the weight, the true IoU without gradient as the target, and the number of
matched queries as the divisor. Our choice, since the report states none: the weight of CG-DETR's cross
entropy.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amrbench.functional.matched_pairs import log_odds, matched_pairs, matched_queries
from amrbench.functional.spans import iou
from amrbench.types import Outcome


class VarifocalLoss(nn.Module):
    """Cross entropy with the IoU as the target, weighted by the IoU or, for negatives, by the score."""

    def __init__(
        self, weight: float, *, alpha: float, gamma: float, form: Literal["through", "detached"]
    ) -> None:
        super().__init__()
        self.weight = weight
        self.alpha, self.gamma = alpha, gamma
        self.form = form

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "varifocal" (N,)."""
        logits = outcome.tensors["logits"]
        # Half precision cannot hold a small probability to the power of gamma.
        with torch.autocast(logits.device.type, enabled=False):
            odds = log_odds(logits.float())
            matched = matched_queries(outcome.matched, odds.shape[2])
            loss = self.of_queries(odds, qualities(outcome, odds.shape[2]), matched)
        return {"varifocal": self.weight * loss.sum((1, 2)) / matched.sum((1, 2)).clamp(min=1)}

    def of_queries(self, odds: Tensor, quality: Tensor, matched: Tensor) -> Tensor:
        """Return the loss of each query; all shapes are the same.

        Args:
            odds: Log odds of being a moment.
            quality: The target: the IoU of matched queries, 0 for the others.
            matched: True for matched queries.
        """
        probability = odds.sigmoid()
        through = self.form == "through"
        negative = self.alpha * (probability if through else probability.detach()) ** self.gamma
        weight = torch.where(quality > 0 if through else matched, quality, negative)
        return weight * F.binary_cross_entropy_with_logits(odds, quality, reduction="none")


@torch.no_grad()
def qualities(outcome: Outcome, queries: int) -> Tensor:
    """Return (N, B, Q): the IoU of matched queries with their spans, 0 for the others; float32."""
    pairs = matched_pairs(outcome)
    overlap = iou(pairs.predicted.float(), pairs.true.float()) * (pairs.weight > 0)
    zeros = overlap.new_zeros(*overlap.shape[:2], queries)
    return zeros.scatter_add(2, outcome.matched.clamp(min=0), overlap)
