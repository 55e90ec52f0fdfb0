"""Codes of time without weights: sine codes of frames and anchors, and endpoint columns.

The wavelengths are those of Vaswani et al. 2017, section 3.5; the code of anchors is that of DAB-DETR
(Liu et al. 2022, section 4.1) on one axis.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from amrbench.functional.arrays import in_array

_LONGEST_WAVE = 10000.0


def sine(mask: Tensor, width: int) -> Tensor:
    """Code the position of each frame as a fraction of the real frames, (B, T) -> (B, T, D).

    Frames count from 1 to n, so that n real frames go once around the circle; padding repeats n.
    """
    if mask.device.type != "cpu" or in_array(mask):
        return _sine(mask, width)
    # Most recordings of a batch are equally long; a GPU would have to wait to find out, and an array cannot.
    different, index = torch.unique(mask, dim=0, return_inverse=True)
    return _sine(different, width)[index]


def _sine(mask: Tensor, width: int) -> Tensor:
    count = mask.cumsum(-1).to(torch.get_default_dtype())
    return _waves(count / (count[:, -1:] + 1e-6) * (2 * math.pi), width)


def anchor_sine(anchors: Tensor, width: int) -> Tensor:
    """Code anchors (..., 2) as (..., D): half of the channels for the centre, then half for the width."""
    return _waves(anchors * (2 * math.pi), width // 2).flatten(-2)


def temporal_columns(mask: Tensor) -> Tensor:
    """Return start and end of frames as fractions of the real frames, (B, T) -> (B, T, 2); padding is 0."""
    frames = mask.sum(-1, keepdim=True).clamp(min=1)
    start = torch.arange(mask.shape[-1], device=mask.device) / frames
    return torch.stack([start, start + 1 / frames], -1) * mask[..., None]


def _waves(angles: Tensor, width: int) -> Tensor:
    """Return sines on even channels and cosines on odd ones, each pair of a longer wave than the last."""
    channel = torch.arange(width, device=angles.device)
    scaled = angles[..., None] / _LONGEST_WAVE ** (2 * (channel // 2) / width)
    return torch.where(channel % 2 == 0, scaled.sin(), scaled.cos())
