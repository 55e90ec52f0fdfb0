"""L1 loss of the predicted IoU: report, section 3.1.

From the report: the loss, which does not depend on the length of a moment. Our choice, since the report and
the team's public code say nothing: only matched queries count, the target carries no gradient into the spans,
and the weight is 1.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from amrbench.functional.matched_pairs import matched_pairs
from amrbench.functional.spans import iou
from amrbench.slots.losses import LossPart
from amrbench.types import BuildContext, Outcome


class IouL1Loss(nn.Module):
    """Mean distance between predicted and true IoU of matched pairs."""

    def __init__(self, weight: float, *, target_gradient: bool) -> None:
        super().__init__()
        self.weight = weight
        self.target_gradient = target_gradient

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "iou-l1" (N,)."""
        pairs = matched_pairs(outcome)
        index = outcome.matched.clamp(min=0)
        predicted = outcome.tensors["iou_logits"].float().sigmoid()[..., 0].gather(2, index)
        with torch.set_grad_enabled(self.target_gradient and torch.is_grad_enabled()):
            true = iou(pairs.predicted.float(), pairs.true.float())
        return {"iou-l1": self.weight * ((predicted - true).abs() * pairs.weight).sum((1, 2))}


class IouL1(LossPart):
    """Distance between predicted and true IoU of matched queries (report, section 3.1)."""

    use = "iou-l1"
    requires = frozenset({"iou_logits", "spans"})
    weight: float = Field(1.0, ge=0, description="factor of this loss in the total")
    target_gradient: bool = Field(
        False, description="let the loss also move the span towards the predicted IoU"
    )

    @override
    def build(self, context: BuildContext) -> nn.Module:
        return IouL1Loss(self.weight, target_gradient=self.target_gradient)
