"""The blocks of a moment detector, in forward order, and the data between them. All batch-first.

A model may be assembled from these blocks, as `moment-detr` of the shipped plugins is, or have none. Modules
take numbers and built modules, never options: a part's `build` makes them from its options and a
`BlockContext`.
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
    """What `build` of a block may read besides the options of the part."""

    width: int
    attention_heads: int
    feedforward: int
    dropout: float
    activation: Activation
    initialise: Callable[[nn.Module], None]
    """Draws the initial weights of a transformer stack, in place; may do nothing."""
    build: BuildContext
    eps: float = 1e-3
    """Fractions of the recording are kept this far from 0 and 1 before their logit is taken."""

    def at(self, path: str) -> BlockContext:
        """Return the context of a slot inside this slot."""
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
    """Build the part of an inner slot; its initial weights depend on the seed and the path alone."""
    inner = context.at(path)
    with inner.build.drawing():
        return part.build(inner)


def heads_fault(heads: int, width: int) -> str:
    """Return what is wrong if the attention heads do not divide the width; empty if they do."""
    if width % heads == 0:
        return ""
    return f"attention_heads is {heads}, which does not divide width {width}; give a divisor of the width."


# ---------------------------------------------------------------- data between blocks


@dataclass(frozen=True)
class Tokens:
    """A sequence of rows for each sample."""

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

    tokens: Tokens
    """S + L rows."""
    dummies: int = 0
    """S, the number of rows that belong to no word."""
    tensors: Tensors = field(default_factory=dict)
    """Provided by the fusion before it reads audio."""


@dataclass(frozen=True)
class Fused:
    """Audio conditioned on its text, and one token for each recording."""

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

    content: Tensor
    """(B, Q, D)"""
    anchors: Tensor
    """(B, Q, 2) spans, each number in (0, 1)."""


@dataclass(frozen=True)
class Decoded:
    """The output of every decoder layer."""

    hidden: Tensor
    """(N, B, Q, D) normalised."""
    anchors: Tensor
    """(N, B, Q, 2) the spans that each layer started from."""


# ---------------------------------------------------------------- slots


class Activation(Protocol):
    """Makes activation modules; each call returns a new one."""

    def mlp(self) -> nn.Module:
        """Return an activation for projections and small perceptrons."""

    def feedforward(self) -> nn.Module:
        """Return an activation for the feed-forward network of a transformer layer."""


class ActivationPart(Part):
    """The activations of a model."""

    slot = "activation"

    @abstractmethod
    def build(self) -> Activation:
        """Return the maker of activation modules."""


class RefinePart(BlockPart):
    """A step that refines the memory: a module `(Memory) -> Memory`. Recipes list any number of them."""

    slot = "refine"
    needs_token: ClassVar[bool] = False
    """Whether it reads the token, which exists only after the fusion."""


class TemporalEmbedding:
    """Encodes the position of frames in the recording, as input columns, as a summand, or both.

    A base class for modules: `class MyEmbedding(TemporalEmbedding, nn.Module)`.
    """

    columns_width: int = 0
    """Number of columns that `columns` returns."""

    def columns(self, mask: Tensor) -> Tensor:
        """Return (B, T, columns_width), concatenated before the audio features; the projection reads both."""
        return mask.new_zeros(*mask.shape, 0).float()

    def add(self, mask: Tensor) -> Tensor:
        """Return the summand of the projected audio, of shape (B, T, D) or broadcasting to it."""
        return mask.new_zeros(1, 1, 1).float()


class TemporalEmbeddingPart(BlockPart):
    """How the position of frames in the recording is encoded."""

    slot = "temporal_embedding"

    @abstractmethod
    def build(self, context: BlockContext) -> nn.Module:
        """Return a `TemporalEmbedding`."""


class AttentionNorm:
    """Normalises the inputs of a cross-attention layer; residuals use the unnormalised inputs.

    A base class for modules: `class MyNorm(AttentionNorm, nn.Module)`.
    """

    def audio(self, rows: Tensor) -> Tensor:
        """Return the queries of the attention, (B, T, D)."""
        return rows

    def text(self, rows: Tensor) -> Tensor:
        """Return the keys and values of the attention, (B, S + L, D)."""
        return rows


class NormPart(BlockPart):
    """Normalisation before cross attention; one module for each layer."""

    slot = "attention_norm"

    @abstractmethod
    def build(self, context: BlockContext) -> nn.Module:
        """Return an `AttentionNorm` for one layer."""


class Fusion(Protocol):
    """Conditions audio on its text. An `nn.Module`."""

    def keys(self, words: Tokens) -> Keys:
        """Return what the audio is fused with; called once for all views of a batch."""

    def __call__(self, audio: Tokens, keys: Keys) -> Fused:
        """Fuse each recording with the keys of the same sample of the batch."""


class FusionPart(BlockPart):
    """How audio is conditioned on its text."""

    slot = "fusion"

    @property
    @abstractmethod
    def provides(self) -> Mapping[str, str]:
        """Return the axes of each tensor it provides, by its name; also "dummies" if its keys have any."""


class Encoder(Protocol):
    """A stack over a sequence. An `nn.Module`."""

    def __call__(self, tokens: Tokens, first: int | None = None) -> Tensor:
        """Return (B, n, D), or only its first rows (B, first, D), which may cost less.

        The first row is special; the text of a fusion starts with its dummies instead.
        """


class EncoderPart(BlockPart):
    """A stack over a sequence. Encoders wrap each other: `around`."""

    slot = "encoder"


class AnchorsPart(BlockPart):
    """The initial spans of the decoder queries: a module `() -> (Q, 2)` spans in (0, 1)."""

    slot = "anchors"


class QueryPart(BlockPart):
    """The input queries of the decoder: a module `(tensors provided so far) -> Queries`."""

    slot = "query"
    requires: ClassVar[frozenset[str]] = frozenset()
    """Names of the tensors it reads."""


class PriorPart(BlockPart):
    """A bias of the decoder's attention to frames; one module for each layer.

    The module takes (anchors (B, Q, 2), content (B, Q, D), mask (B, T)) and returns the summand of the
    attention logits: (B, H, Q, T) or a shape that broadcasts to it.
    """

    slot = "prior"


class Decoder(Protocol):
    """Turns queries into moments by attention to the memory. An `nn.Module`."""

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
        """Return tensors of the memory, batch first; also called for other views of a batch."""
        return {}

    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Return tensors of the queries, (N, B, Q, ...)."""
        return {}


class HeadPart(BlockPart):
    """One or more predictions. The heads together must provide "spans" and "scores".

    Moments are ranked by "scores", or by "ranking_scores" if a head provides them. The matcher reads
    "scores", never "ranking_scores", so that the ranking has no influence on the training.
    """

    slot = "head"

    @property
    @abstractmethod
    def provides(self) -> Mapping[str, str]:
        """Return the axes of each tensor it provides, by its name."""

    @abstractmethod
    def build(self, context: BlockContext) -> nn.Module:
        """Return a `Head`."""
