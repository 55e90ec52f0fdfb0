"""The data that is passed between the blocks of a moment detector. All batch-first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    from amrbench.types import Tensors


@dataclass(frozen=True)
class Tokens:
    """A sequence of rows for each sample."""

    axes: ClassVar[Mapping[str, str]] = {"features": "B n D", "positions": "B n D", "mask": "B n"}
    """The axes of its tensors, for `amrbench check` and the contract checks; those of the others alike."""
    features: Tensor
    """(B, n, D)"""
    positions: Tensor
    """(B, n, D) zero for rows without a position."""
    mask: Tensor
    """(B, n) True for real rows."""

    def with_features(self, features: Tensor) -> Tokens:
        """Return the same rows with other features."""
        return replace(self, features=features)

    def followed_by(self, others: Tokens) -> Tokens:
        """Return these rows and then others of the same samples: (B, n + m, D)."""
        return _concat(self, others, 1)

    def stacked_on(self, others: Tokens) -> Tokens:
        """Return these samples and then the others as one batch: (B + B', n, D)."""
        return _concat(self, others, 0)

    def rows(self, rows: slice) -> Tokens:
        """Return some rows of each sample."""
        return Tokens(self.features[:, rows], self.positions[:, rows], self.mask[:, rows])

    def rolled(self) -> Tokens:
        """Return a batch in which each sample has the rows of the next one."""
        return Tokens(self.features.roll(-1, 0), self.positions.roll(-1, 0), self.mask.roll(-1, 0))


def learned_tokens(features: Tensor, positions: Tensor, batch: int) -> Tokens:
    """Return learned rows (n, D) with learned positions (n, D) as real rows of every sample."""
    mask = features.new_ones(batch, features.shape[0]).bool()
    return Tokens(features.expand(batch, -1, -1), positions.expand(batch, -1, -1), mask)


def _concat(first: Tokens, second: Tokens, axis: int) -> Tokens:
    import torch

    return Tokens(
        torch.cat([first.features, second.features], axis),
        torch.cat([first.positions, second.positions], axis),
        torch.cat([first.mask, second.mask], axis),
    )


@dataclass(frozen=True)
class Keys:
    """What the audio is fused with: first dummies, then words."""

    axes: ClassVar[Mapping[str, str]] = {}
    tokens: Tokens
    """S + L rows."""
    dummies: int = 0
    """S, the number of rows that belong to no word."""
    tensors: Tensors = field(default_factory=dict)
    """Provided by the fusion before it reads audio."""


@dataclass(frozen=True)
class Fused:
    """Audio conditioned on its text, and one token for each recording."""

    axes: ClassVar[Mapping[str, str]] = {"token": "B D", "token_position": "D"}
    audio: Tokens
    token: Tensor
    """(B, D)"""
    token_position: Tensor
    """(D,)"""
    tensors: Tensors = field(default_factory=dict)
    """Provided by the fusion for these pairs of audio and text; batch first."""


@dataclass(frozen=True)
class Memory:
    """What the decoder and the heads read of a recording."""

    axes: ClassVar[Mapping[str, str]] = {
        "token": "B D",
        "frames": "B T D",
        "positions": "B T D",
        "mask": "B T",
    }
    token: Tensor
    """(B, D) of the recording; zeros before the fusion."""
    frames: Tensor
    """(B, T, D)"""
    positions: Tensor
    """(B, T, D)"""
    mask: Tensor
    """(B, T) True for real frames."""

    def with_frames(self, frames: Tensor) -> Memory:
        """Return the memory with other frames."""
        return replace(self, frames=frames)


@dataclass(frozen=True)
class Queries:
    """The input queries of the decoder."""

    axes: ClassVar[Mapping[str, str]] = {"content": "B Q D", "anchors": "B Q 2"}
    content: Tensor
    """(B, Q, D)"""
    anchors: Tensor
    """(B, Q, 2) spans, each number in (0, 1)."""


@dataclass(frozen=True)
class Decoded:
    """The output of every decoder layer."""

    axes: ClassVar[Mapping[str, str]] = {"hidden": "N B Q D", "anchors": "N B Q 2"}
    hidden: Tensor
    """(N, B, Q, D) normalised."""
    anchors: Tensor
    """(N, B, Q, 2) the spans that each layer started from."""
