"""Keeps the dummies of a text, and the prompts of the global token, apart from each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amrbench.types import Outcome


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
