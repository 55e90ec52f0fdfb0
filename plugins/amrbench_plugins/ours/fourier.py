"""Fourier temporal embedding in three dimensions (report, section 2.1).

From the report: start, end and share of the recording of each frame, mapped to Fourier features, put
through a small perceptron and added to the projected audio. From the source that it cites (Tancik et al.
2020, section 6): a fixed Gaussian map, with sines and cosines side by side; the scale 10 is the middle one
of the three in that work's public demonstration. Our choice: 64 frequencies, the seed, one hidden layer
as wide as the model.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from amrbench_plugins.moment_detr.layers import Perceptron
from amrbench_plugins.moment_detr.slots import Sizes, TemporalEmbedding, TemporalEmbeddingPart

COORDINATES = 3


def coordinates(mask: Tensor) -> Tensor:
    """Return start, end and duration of each frame as shares of the real frames, (B, T) -> (B, T, 3).

    Float32. Padded frames count on beyond 1.
    """
    share = 1 / mask.sum(-1, keepdim=True).clamp(min=1).float()
    start = torch.arange(mask.shape[-1], device=mask.device) * share
    return torch.stack([start, start + share, share.expand_as(start)], -1)


def fourier_features(places: Tensor, frequencies: Tensor) -> Tensor:
    """Return sines and then cosines of 2 pi times the products with the frequencies.

    Products of single numbers instead of a matrix product, which autocast would round to a few bits.

    Args:
        places: (..., 3) float32.
        frequencies: (F, 3).

    Returns:
        (..., 2F) float32.
    """
    turned = places * (2 * math.pi)
    phases = sum(turned[..., axis, None] * frequencies[:, axis].float() for axis in range(COORDINATES))
    return torch.cat([torch.sin(phases), torch.cos(phases)], -1)  # type: ignore[arg-type]


class FourierEmbedding(TemporalEmbedding):
    """A perceptron over fixed Fourier features of where each frame stands."""

    frequencies: Tensor

    def __init__(self, frequencies: Tensor, perceptron: Perceptron) -> None:
        """`frequencies` (F, 3) are remembered with the weights and never trained."""
        super().__init__()
        self.register_buffer("frequencies", frequencies)
        self.perceptron = perceptron

    def add(self, mask: Tensor) -> Tensor:
        """Return (B, T, D), zero for padded frames."""
        features = fourier_features(coordinates(mask), self.frequencies)
        embedded: Tensor = self.perceptron(features.to(self.perceptron.last.weight.dtype))
        return embedded * mask[..., None]


class Fourier(TemporalEmbeddingPart):
    """Start, end and share of each frame as Fourier features, through a perceptron, added to the audio.

    The map depends on a seed of its own, so that it is the same in all runs: weights behind different maps
    cannot be averaged.
    """

    use = "fourier"
    frequencies: int = Field(64, ge=1, description="random frequencies; each gives a sine and a cosine")
    sigma: float = Field(10.0, gt=0, description="spread of the frequencies, in turns a recording")
    seed: int = Field(0, ge=0, description="seed of the map, apart from that of the run")

    def build(self, sizes: Sizes) -> TemporalEmbedding:
        """Return the embedding."""
        generator = torch.Generator().manual_seed(self.seed)
        frequencies = self.sigma * torch.randn(self.frequencies, COORDINATES, generator=generator)
        widths = (2 * self.frequencies, sizes.width, sizes.width)
        return FourierEmbedding(frequencies, Perceptron(widths, sizes.activation.mlp))
