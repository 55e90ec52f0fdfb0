"""The blocks of a moment detector, in forward order, and the data between them. All batch-first.

Which model assembles blocks is its own affair (`moment-detr` of the shipped plugins does); a model may also
have none. Modules take numbers and built modules, never options: a part's `build` makes them from its options
and a `BlockContext`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from amrbench.part import Part

if TYPE_CHECKING:
    from torch import Tensor, nn

    from amrbench.types import BuildContext, Tensors


# ---------------------------------------------------------------- building


@dataclass(frozen=True)
class BlockContext:
    """What `build` of a block may know besides its own options."""

    width: int
    attention_heads: int
    feedforward: int
    dropout: float
    activation: Activation
    initialise: Callable[[nn.Module], None]
    """How a transformer stack draws its weights anew; may leave them alone."""
    build: BuildContext
    eps: float = 1e-3
    """Least distance from 0 and 1 of a share of the recording on its way to a logit."""

    def at(self, path: str) -> BlockContext:
        """Return the context of a slot inside this one."""
        return replace(self, build=self.build.at(path))


class BlockPart(Part):
    """A choice for a slot inside the model."""

    @abstractmethod
    def build(self, context: BlockContext) -> nn.Module:
        """Return the module of this slot."""


Built_co = TypeVar("Built_co", covariant=True)


class Builds(Protocol[Built_co]):
    """What `build_at` needs of a part."""

    def build(self, context: BlockContext) -> Built_co:
        """Return the module."""


def build_at(part: Builds[Built_co], path: str, context: BlockContext) -> Built_co:
    """Build a part for a slot inside, with first weights that depend on the seed and the path alone."""
    inner = context.at(path)
    with inner.build.drawing():
        return part.build(inner)


# ---------------------------------------------------------------- data between blocks


@dataclass(frozen=True)
class Tokens:
    """A sequence for each sample."""

    features: Tensor
    """(B, n, D)"""
    positions: Tensor
    """(B, n, D) zero where a row has no position."""
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
    """What the audio is fused with: dummies first, then words."""

    tokens: Tokens
    """S + L rows."""
    dummies: int = 0
    """S, the number of rows that stand for no word."""
    tensors: Tensors = field(default_factory=dict)
    """What the fusion provides before it sees audio."""


@dataclass(frozen=True)
class Fused:
    """Audio that is conditioned on its text, and one token for the recording."""

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
    """What the decoder gives, layer by layer."""

    hidden: Tensor
    """(N, B, Q, D) normalised."""
    anchors: Tensor
    """(N, B, Q, 2) the spans that each layer started from."""


# ---------------------------------------------------------------- slots


class Activation(Protocol):
    """Makes a new activation module for each place that needs one."""

    def mlp(self) -> nn.Module:
        """Return one for projections and small perceptrons."""

    def feedforward(self) -> nn.Module:
        """Return one for the feed-forward part of a transformer layer."""


class ActivationPart(Part):
    """Activations of the whole model."""

    slot = "activation"

    @abstractmethod
    def build(self) -> Activation:
        """Return the maker of activation modules."""


class RefinePart(BlockPart):
    """A step from memory to memory, a module `(Memory) -> Memory`; several stand in a list."""

    slot = "refine"
    needs_token: ClassVar[bool] = False
    """Whether it reads the token, which is there only after the fusion."""


class TemporalEmbedding:
    """Tells frames their position in the recording, as input columns, as a sum, or both.

    A base class for modules: `class MyEmbedding(TemporalEmbedding, nn.Module)`.
    """

    columns_width: int = 0
    """Number of columns that `columns` returns."""

    def columns(self, mask: Tensor) -> Tensor:
        """Return (B, T, columns_width), put before the audio features ahead of the projection."""
        return mask.new_zeros(*mask.shape, 0).float()

    def add(self, mask: Tensor) -> Tensor:
        """Return what is added to the projected audio, of shape (B, T, D) or broadcasting to it."""
        return mask.new_zeros(1, 1, 1).float()


class TemporalEmbeddingPart(BlockPart):
    """How frames are told their position in the recording."""

    slot = "temporal_embedding"

    @abstractmethod
    def build(self, context: BlockContext) -> nn.Module:
        """Return a `TemporalEmbedding`."""


class AttentionNorm:
    """Normalises rows on their way into a layer of cross attention; residuals keep the unnormalised rows.

    A base class for modules: `class MyNorm(AttentionNorm, nn.Module)`.
    """

    def audio(self, rows: Tensor) -> Tensor:
        """Return (B, T, D), ready to be queries."""
        return rows

    def text(self, rows: Tensor) -> Tensor:
        """Return (B, S + L, D), ready to be keys and values."""
        return rows


class NormPart(BlockPart):
    """Normalisation ahead of cross attention; one module a layer."""

    slot = "attention_norm"

    @abstractmethod
    def build(self, context: BlockContext) -> nn.Module:
        """Return an `AttentionNorm` for one layer."""


class Fusion(Protocol):
    """Conditions audio on its text. An `nn.Module`."""

    def keys(self, words: Tokens) -> Keys:
        """Return what the audio is fused with; computed once for all views of a batch."""

    def __call__(self, audio: Tokens, keys: Keys) -> Fused:
        """Fuse each recording with the keys of the same row of the batch."""


class FusionPart(BlockPart):
    """How audio is conditioned on its text."""

    slot = "fusion"

    @property
    @abstractmethod
    def provides(self) -> Mapping[str, str]:
        """Return the axes of each tensor it provides, by its name; "dummies" if its keys hold some."""


class Encoder(Protocol):
    """A stack over a sequence. An `nn.Module`."""

    def __call__(self, tokens: Tokens, first: int | None = None) -> Tensor:
        """Return (B, n, D), or only the `first` rows of it, which may cost less.

        The sequence starts with one special row (or, for the text of a fusion, with its dummies).
        """


class EncoderPart(BlockPart):
    """A stack over a sequence; `around` wraps one in another."""

    slot = "encoder"


class AnchorsPart(BlockPart):
    """The first spans of the decoder's queries: a module `() -> (Q, 2)` spans in (0, 1)."""

    slot = "anchors"


class QueryPart(BlockPart):
    """What the decoder starts from: a module `(tensors provided so far) -> Queries`."""

    slot = "query"
    requires: ClassVar[frozenset[str]] = frozenset()
    """Names of the tensors it reads."""


class PriorPart(BlockPart):
    """A bias on the decoder's attention to frames; one module a layer.

    The module takes (anchors (B, Q, 2), content (B, Q, D), mask (B, T)) and returns what is added to
    the logits: (B, H, Q, T) or a shape that broadcasts to it.
    """

    slot = "prior"


class Decoder(Protocol):
    """Turns queries into moments with the help of the memory. An `nn.Module`."""

    def __call__(self, queries: Queries, memory: Memory) -> Decoded:
        """Return the result of each layer."""


class DecoderPart(BlockPart):
    """How queries become moments."""

    slot = "decoder"


class Head:
    """Predicts from the memory, the decoded queries, or both.

    A base class for modules: `class MyHead(Head, nn.Module)`.
    """

    def of_memory(self, memory: Memory) -> Mapping[str, Tensor]:  # noqa: ARG002 - for heads that do
        """Return tensors of the memory, batch first; also asked of other views of a batch."""
        return {}

    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Return tensors of the queries, (N, B, Q, ...)."""
        return {}


class HeadPart(BlockPart):
    """One or more predictions. The heads together must provide "spans" and "scores".

    Moments are ranked by "scores", or by "ranking_scores" where a head provides them; the matcher reads the
    former alone, so that a way of ranking changes no training.
    """

    slot = "head"

    @property
    @abstractmethod
    def provides(self) -> Mapping[str, str]:
        """Return the axes of each tensor it provides, by its name."""

    @abstractmethod
    def build(self, context: BlockContext) -> nn.Module:
        """Return a `Head`."""
