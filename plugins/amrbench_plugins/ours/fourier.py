"""Fourier temporal embedding with three coordinates (report, section 2.1), and its ablations.

From the report: start, end and relative duration of each frame, mapped to Fourier features, put through a
small perceptron and added to the projected audio. From the source that it cites (Tancik et al. 2020, section
6): a fixed Gaussian map, with sines followed by cosines; the scale 10 is the middle one of the three in that
work's public demonstration. Our choice: 64 frequencies, the seed, one hidden layer as wide as the model. The
ablations have two coordinates (without the duration), or no Fourier features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.blocks import TemporalEmbedding
from amrbench_plugins.moment_detr.layers import Perceptron

COORDINATES = 3
MAP_SEED = 0
"""The same in all runs, whatever their seed."""


def coordinates(mask: Tensor) -> Tensor:
    """Return start, end and duration of each frame as fractions of the real frames, (B, T) -> (B, T, 3).

    Float32. Padded frames go on beyond 1.
    """
    duration = 1 / mask.sum(-1, keepdim=True).clamp(min=1).float()
    start = torch.arange(mask.shape[-1], device=mask.device) * duration
    return torch.stack([start, start + duration, duration.expand_as(start)], -1)


def gaussian_map(frequencies: int, sigma: float) -> Tensor:
    """Return (F, 3) normal frequencies with a standard deviation of sigma, in cycles per recording."""
    generator = torch.Generator().manual_seed(MAP_SEED)
    return sigma * torch.randn(frequencies, COORDINATES, generator=generator)


def fourier_features(points: Tensor, frequencies: Tensor) -> Tensor:
    """Return sines and then cosines of 2 pi times the products of points and frequencies.

    Args:
        points: (..., n) float32.
        frequencies: (F, n).

    Returns:
        (..., 2F) float32.
    """
    angles = points * (2 * math.pi)
    # Not a matrix product, which autocast would round to half precision.
    axes = range(frequencies.shape[1])
    phases = sum(angles[..., axis, None] * frequencies[:, axis].float() for axis in axes)
    return torch.cat([torch.sin(phases), torch.cos(phases)], -1)  # type: ignore[arg-type]


class CoordinateEmbedding(TemporalEmbedding, nn.Module):
    """A perceptron over the coordinates of each frame."""

    def __init__(self, perceptron: Perceptron) -> None:
        super().__init__()
        self.perceptron = perceptron

    @override
    def add(self, mask: Tensor) -> Tensor:
        features = self.features(coordinates(mask))
        embedded: Tensor = self.perceptron(features.to(self.perceptron.last.weight.dtype))
        return embedded * mask[..., None]

    def features(self, points: Tensor) -> Tensor:
        """Return the input of the perceptron for points (B, T, 3): here the points."""
        return points


class FourierEmbedding(CoordinateEmbedding):
    """A perceptron over fixed Fourier features of the coordinates of each frame."""

    frequencies: Tensor

    def __init__(self, frequencies: Tensor, perceptron: Perceptron) -> None:
        """`frequencies` (F, n), of the first n coordinates, are saved with the weights and never trained."""
        super().__init__(perceptron)
        self.register_buffer("frequencies", frequencies)

    @override
    def features(self, points: Tensor) -> Tensor:
        return fourier_features(points[..., : self.frequencies.shape[1]], self.frequencies)
