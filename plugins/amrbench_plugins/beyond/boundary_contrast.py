"""Contrast of the frames on both sides of a boundary.

CVA (arXiv 2603.24934) contrasts frames at boundaries between two mixed views of a recording. Here there is
one view. With unit vectors m_t of the memory, p the unit vector of their mean over all relevant frames of the
query, and for each boundary i the last frame inside and o the frame next to it outside:

    loss = log(1 + exp((m_o . p - m_i . p) / temperature))

averaged over the boundaries of a query and then over the queries; a query without boundaries counts zero.
This is the cross entropy of telling which of the two frames belongs to the moment: log 2 for frames that are
alike. A boundary lies between two real neighbours of which one is relevant.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from amrbench.types import Outcome


class BoundaryContrastLoss(nn.Module):
    """Frames just inside moments against those just outside."""

    def __init__(self, weight: float, temperature: float) -> None:
        super().__init__()
        self.weight = weight
        self.temperature = temperature

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return the term "boundary-contrast", a scalar."""
        real = outcome.batch.audio_mask
        contrast = boundary_contrast(
            outcome.tensors["memory"], outcome.target.relevant & real, real, self.temperature
        )
        return {"boundary-contrast": self.weight * contrast.mean()}


def boundary_contrast(memory: Tensor, relevant: Tensor, real: Tensor, temperature: float) -> Tensor:
    """Return the mean loss (B,) over the boundaries of each query.

    Args:
        memory: (B, T, D)
        relevant: (B, T) True for frames of moments; real ones only.
        real: (B, T) True for real frames, which come first.
        temperature: Above 0.
    """
    with torch.autocast(memory.device.type, enabled=False):
        frames = functional.normalize(memory.float(), dim=-1)
        mean = (frames * relevant[..., None]).sum(1) / relevant.sum(1, keepdim=True).clamp(min=1)
        near = (frames @ functional.normalize(mean, dim=-1)[..., None]).squeeze(-1)  # (B, T) cosines
        starts = ~relevant[:, :-1] & relevant[:, 1:]
        ends = relevant[:, :-1] & ~relevant[:, 1:]
        step = near[:, 1:] - near[:, :-1]  # upwards at a start, downwards at an end
        losses = functional.softplus(torch.where(starts, -step, step) / temperature)
        boundaries = (starts | ends) & real[:, 1:]
        return (losses * boundaries).sum(1) / boundaries.sum(1).clamp(min=1)
