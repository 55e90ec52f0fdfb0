"""The data between the slots of `moment-detr`; all batch-first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from amrbench.types import Tensors


@dataclass(frozen=True)
class Tokens:
    """A sequence for each sample: what its rows say, where they stand, which are real."""

    features: Tensor
    """(B, n, D)"""
    positions: Tensor
    """(B, n, D) zero where a row has no place."""
    mask: Tensor
    """(B, n) True for real rows."""

    def with_features(self, features: Tensor) -> Tokens:
        """Return the same rows saying something else."""
        return replace(self, features=features)

    def before(self, others: Tokens) -> Tokens:
        """Return these rows followed by others of the same samples."""
        return _joined(self, others, 1)

    def beside(self, others: Tokens) -> Tokens:
        """Return one batch of these samples and then the others."""
        return _joined(self, others, 0)

    def rolled(self) -> Tokens:
        """Return a batch in which each sample has the rows of the one after it."""
        return Tokens(self.features.roll(-1, 0), self.positions.roll(-1, 0), self.mask.roll(-1, 0))


def _joined(one: Tokens, other: Tokens, axis: int) -> Tokens:
    return Tokens(
        torch.cat([one.features, other.features], axis),
        torch.cat([one.positions, other.positions], axis),
        torch.cat([one.mask, other.mask], axis),
    )


def learned_rows(features: Tensor, positions: Tensor, batch: int) -> Tokens:
    """Return learned rows (n, D) with learned positions (n, D) as real rows of every sample."""
    mask = torch.ones(batch, features.shape[0], dtype=torch.bool, device=features.device)
    return Tokens(features.expand(batch, -1, -1), positions.expand(batch, -1, -1), mask)


@dataclass(frozen=True)
class Keys:
    """What the audio is fused with: dummies first, then words."""

    tokens: Tokens
    """S + L rows."""
    dummies: int = 0
    """S, the number of rows that stand for no word."""
    tensors: Tensors = field(default_factory=dict)
    """What the fusion provides before it sees audio."""


@dataclass(frozen=True)
class Fused:
    """Audio that knows its text, and a token for the whole of it."""

    audio: Tokens
    token: Tensor
    """(B, D)"""
    token_position: Tensor
    """(D,)"""
    tensors: Tensors = field(default_factory=dict)
    """What the fusion provides for these pairs of audio and text; batch first."""


@dataclass(frozen=True)
class Memory:
    """What the decoder and the heads read of a recording."""

    token: Tensor
    """(B, D) the whole recording; zeros before the fusion."""
    frames: Tensor
    """(B, T, D)"""
    positions: Tensor
    """(B, T, D)"""
    mask: Tensor
    """(B, T)"""

    def with_frames(self, frames: Tensor) -> Memory:
        """Return the memory with other frames."""
        return replace(self, frames=frames)


@dataclass(frozen=True)
class Queries:
    """What the decoder starts from."""

    content: Tensor
    """(B, Q, D)"""
    anchors: Tensor
    """(B, Q, 2) spans, each number in (0, 1)."""


@dataclass(frozen=True)
class Decoded:
    """What the decoder found, layer by layer."""

    hidden: Tensor
    """(N, B, Q, D) normalised."""
    anchors: Tensor
    """(N, B, Q, 2) the spans that each layer started from."""
