"""Codes of time that have no weights: sine codes of frames and anchors, and endpoint columns.

The wave lengths are those of Vaswani et al. 2017, section 3.5; the code of anchors is that of DAB-DETR
(Liu et al. 2022, section 4.1) on one axis.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LONGEST = 10000.0


def sine(mask: Tensor, width: int) -> Tensor:
    """Code the place of each frame as a share of the real frames, (B, T) -> (B, T, D).

    Frames count from 1 to n, so that n real frames go once around the circle; padding repeats n.
    """
    place = mask.cumsum(-1).to(torch.get_default_dtype())
    return _waves(place / (place[:, -1:] + 1e-6) * (2 * math.pi), width)


def anchor_sine(anchors: Tensor, width: int) -> Tensor:
    """Code anchors (..., 2) as (..., D): half of the channels for the centre, then half for the width."""
    return _waves(anchors * (2 * math.pi), width // 2).flatten(-2)


def temporal_columns(mask: Tensor) -> Tensor:
    """Return start and end of each frame as shares of the real frames, (B, T) -> (B, T, 2); padding is 0."""
    frames = mask.sum(-1, keepdim=True).clamp(min=1)
    start = torch.arange(mask.shape[-1], device=mask.device) / frames
    return torch.stack([start, start + 1 / frames], -1) * mask[..., None]


def _waves(angles: Tensor, width: int) -> Tensor:
    """Sine on even channels and cosine on odd ones, each pair slower than the last."""
    channel = torch.arange(width, device=angles.device)
    turned = angles[..., None] / _LONGEST ** (2 * (channel // 2) / width)
    return torch.where(channel % 2 == 0, turned.sin(), turned.cos())
