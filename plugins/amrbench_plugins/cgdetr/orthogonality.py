"""Keeps dummies and prompts from saying the same.

The weight is that of the public baseline, where it is the one of the distillation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from amrbench.slots.losses import LossPart
from amrbench.types import BuildContext, Outcome


def overlap(rows: Tensor) -> Tensor:
    """Return the mean absolute cosine between different rows of (..., n, D); equal pairs count as zeros.

    One side has no gradient, so the pull is half of the symmetric one, as in the reference.
    """
    unit = F.normalize(rows, dim=-1)
    cosine = unit @ unit.detach().mT
    own = torch.eye(rows.shape[-2], dtype=torch.bool, device=rows.device)
    return cosine.masked_fill(own, 0.0).abs().mean()


class OrthogonalityLoss(nn.Module):
    """Mean overlap of the dummies of a text and of the prompts."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return "orthogonality"."""
        both = overlap(outcome.tensors["dummies"]) + overlap(outcome.tensors["prompts"])
        return {"orthogonality": self.weight * both}


class Orthogonality(LossPart):
    """Cosine similarity among the dummies of one text, and among the prompts of the global token."""

    use = "orthogonality"
    requires = frozenset({"dummies", "prompts"})
    weight: float = Field(1.0, ge=0, description="factor of this loss in the total")

    def build(self, context: BuildContext) -> nn.Module:
        """Return the loss."""
        return OrthogonalityLoss(self.weight)
