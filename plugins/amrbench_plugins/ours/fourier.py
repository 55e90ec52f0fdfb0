"""Fourier temporal embedding with three coordinates (report, section 2.1), and its ablations.

From the report: start, end and share of the recording of each frame, mapped to Fourier features, put
through a small perceptron and added to the projected audio. From the source that it cites (Tancik et al.
2020, section 6): a fixed Gaussian map, with sines followed by cosines; the scale 10 is the middle one of the
three in that work's public demonstration. Our choice: 64 frequencies, the seed, one hidden layer as wide as
the model. The ablations have two coordinates (without the share), or no Fourier features.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.blocks import BlockContext, TemporalEmbedding, TemporalEmbeddingPart
from amrbench_plugins.moment_detr.layers import Perceptron

COORDINATES = 3
"""Start and end of each frame, and the share of the recording that it is."""
Count = Literal[2, 3]


def _count() -> Any:
    return Field(COORDINATES, description="coordinates of a frame; 2 for start and end alone")


def coordinates(mask: Tensor) -> Tensor:
    """Return start, end and duration of each frame as shares of the real frames, (B, T) -> (B, T, 3).

    Float32. Padded frames go on beyond 1.
    """
    duration = 1 / mask.sum(-1, keepdim=True).clamp(min=1).float()
    start = torch.arange(mask.shape[-1], device=mask.device) * duration
    return torch.stack([start, start + duration, duration.expand_as(start)], -1)


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

    def __init__(self, count: int, perceptron: Perceptron) -> None:
        """`count` is the number of coordinates that are used, the first ones."""
        super().__init__()
        self.count = count
        self.perceptron = perceptron

    @override
    def add(self, mask: Tensor) -> Tensor:
        features = self.features(coordinates(mask)[..., : self.count])
        embedded: Tensor = self.perceptron(features.to(self.perceptron.last.weight.dtype))
        return embedded * mask[..., None]

    def features(self, points: Tensor) -> Tensor:
        """Return the input of the perceptron for points (B, T, count): here the points."""
        return points


class FourierEmbedding(CoordinateEmbedding):
    """A perceptron over fixed Fourier features of the coordinates of each frame."""

    frequencies: Tensor

    def __init__(self, frequencies: Tensor, perceptron: Perceptron) -> None:
        """`frequencies` (F, count) are saved with the weights and never trained."""
        super().__init__(frequencies.shape[1], perceptron)
        self.register_buffer("frequencies", frequencies)

    @override
    def features(self, points: Tensor) -> Tensor:
        return fourier_features(points, self.frequencies)


class Fourier(TemporalEmbeddingPart):
    """Start, end and share of each frame as Fourier features, through a perceptron, added to the audio.

    The map depends on a seed of its own, so that it is the same in all runs: models with different maps
    cannot be averaged. With two coordinates it is the map of three without its last column.
    """

    use = "fourier"
    frequencies: int = Field(64, ge=1, description="random frequencies; each gives a sine and a cosine")
    sigma: float = Field(
        10.0, gt=0, description="standard deviation of the frequencies, in cycles per recording"
    )
    seed: int = Field(0, ge=0, description="seed of the map, apart from that of the run")
    coordinates: Count = _count()

    @override
    def build(self, context: BlockContext) -> nn.Module:
        generator = torch.Generator().manual_seed(self.seed)
        frequencies = self.sigma * torch.randn(self.frequencies, COORDINATES, generator=generator)
        perceptron = Perceptron((2 * self.frequencies, context.width, context.width), context.activation.mlp)
        return FourierEmbedding(frequencies[:, : self.coordinates].contiguous(), perceptron)


class Coordinates(TemporalEmbeddingPart):
    """Start, end and share of each frame as they are, through a perceptron, added to the audio."""

    use = "coordinates"
    coordinates: Count = _count()

    @override
    def build(self, context: BlockContext) -> nn.Module:
        perceptron = Perceptron((self.coordinates, context.width, context.width), context.activation.mlp)
        return CoordinateEmbedding(self.coordinates, perceptron)
