"""L1 loss of the predicted IoU: report, section 3.1.

From the report: the loss, which does not depend on the length of a moment. Our choice, since the report and
the team's public code say nothing: only matched queries count, the target carries no gradient into the spans,
and the weight is 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from amrbench.functional.matched_pairs import matched_pairs
from amrbench.functional.spans import iou
from amrbench.types import Outcome


class IouL1Loss(nn.Module):
    """Mean distance between predicted and true IoU of matched pairs."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "iou-l1" (N,)."""
        pairs = matched_pairs(outcome)
        index = outcome.matched.clamp(min=0)
        predicted = outcome.tensors["iou_logits"].float().sigmoid()[..., 0].gather(2, index)
        with torch.no_grad():
            true = iou(pairs.predicted.float(), pairs.true.float())
        return {"iou-l1": self.weight * ((predicted - true).abs() * pairs.weight).sum((1, 2))}
