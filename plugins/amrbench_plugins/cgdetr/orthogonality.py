"""Keeps the dummies of a text, and the prompts of the global token, apart from each other.

The weight is that of the public baseline, which uses that of the distillation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.losses import LossPart
from amrbench.types import BuildContext, Outcome


def overlap(rows: Tensor) -> Tensor:
    """Return the mean absolute cosine between rows of (..., n, D); that of a row with itself counts as 0.

    One side has no gradient, which halves the gradient of the symmetric term, as in the reference.
    """
    unit = F.normalize(rows, dim=-1)
    cosine = unit @ unit.detach().mT
    same = torch.eye(rows.shape[-2], dtype=torch.bool, device=rows.device)
    return cosine.masked_fill(same, 0.0).abs().mean()


class OrthogonalityLoss(nn.Module):
    """Mean overlap among the dummies of a text, plus that among the prompts."""

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

    @override
    def build(self, context: BuildContext) -> nn.Module:
        return OrthogonalityLoss(self.weight)
