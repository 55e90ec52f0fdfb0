"""The blocks of a moment detector, in forward order, and the data between them. All batch-first.

A model may be assembled from these blocks, as `moment-detr` of the shipped plugins is, or have none. Modules
take numbers and built modules, never options: a part's `build` makes them from its options and a
`BlockContext`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, TypeVar

from pydantic import Field

from amrbench.part import Part, problem
from amrbench.slots.block_data import Decoded as Decoded
from amrbench.slots.block_data import Fused as Fused
from amrbench.slots.block_data import Keys as Keys
from amrbench.slots.block_data import Memory as Memory
from amrbench.slots.block_data import Queries as Queries
from amrbench.slots.block_data import Tokens as Tokens
from amrbench.slots.block_data import learned_tokens as learned_tokens
from amrbench.slots.provided import ProvidingPart

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
    residual_dropout: str = "branches"
    """What dropout takes from a residual branch: the "branches" of whole samples, or single "elements"."""

    def at(self, path: str) -> BlockContext:
        """Return the context of a slot inside this slot."""
        return replace(self, build=self.build.at(path))


class BlockPart(Part):
    """A choice for a slot inside the model."""

    builds_module = True

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
    builds = Activation

    @abstractmethod
    def build(self) -> Activation:
        """Return the maker of activation modules."""


class Refinement(Protocol):
    """Refines the memory. An `nn.Module`."""

    def __call__(self, memory: Memory) -> Memory:
        """Return the refined memory."""


class RefinePart(BlockPart):
    """A step that refines the memory. Recipes list any number of them."""

    slot = "refine"
    builds = Refinement
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
    builds = TemporalEmbedding

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
    builds = AttentionNorm

    @abstractmethod
    def build(self, context: BlockContext) -> nn.Module:
        """Return an `AttentionNorm` for one layer."""


class Fusion(Protocol):
    """Conditions audio on its text. An `nn.Module`."""

    def keys(self, words: Tokens) -> Keys:
        """Return what the audio is fused with; called once for all views of a batch."""

    def __call__(self, audio: Tokens, keys: Keys) -> Fused:
        """Fuse each recording with the keys of the same sample of the batch."""


class FusionPart(ProvidingPart, BlockPart):
    """How audio is conditioned on its text. It provides "dummies" too if its keys have any."""

    slot = "fusion"
    builds = Fusion


class Encoder(Protocol):
    """A stack over a sequence. An `nn.Module`."""

    def __call__(self, tokens: Tokens, first: int | None = None) -> Tensor:
        """Return (B, n, D), or only its first rows (B, first, D), which may cost less.

        The first row is special; the text of a fusion starts with its dummies instead.
        """


class EncoderPart(BlockPart):
    """A stack over a sequence. Encoders wrap each other: `around`."""

    slot = "encoder"
    builds = Encoder

    @property
    def summarises(self) -> bool:
        """Whether its first row reads the others, so that it can be their summary."""
        return True


class Anchors(Protocol):
    """The initial spans of the decoder queries. An `nn.Module`."""

    def __call__(self) -> Tensor:
        """Return (Q, 2) spans in (0, 1)."""


class AnchorsPart(BlockPart):
    """The initial spans of the decoder queries."""

    slot = "anchors"
    builds = Anchors


class InputQueries(Protocol):
    """Makes the input queries of the decoder. An `nn.Module`."""

    def __call__(self, tensors: Tensors) -> Queries:
        """Return the queries, made of the tensors that are provided before the decoder."""


class QueryPart(BlockPart):
    """The input queries of the decoder."""

    slot = "query"
    builds = InputQueries
    requires: ClassVar[frozenset[str]] = frozenset()
    """Names of the tensors it reads."""


class Prior(Protocol):
    """Biases the decoder's attention to frames. An `nn.Module`."""

    def __call__(self, anchors: Tensor, content: Tensor, mask: Tensor) -> Tensor:
        """Return the summand of the attention logits, (B, H, Q, T) or a shape that broadcasts to it.

        Anchors are (B, Q, 2), the content is (B, Q, D), the mask (B, T).
        """


class PriorPart(BlockPart):
    """A bias of the decoder's attention to frames; one module for each layer."""

    slot = "prior"
    builds = Prior


Corrections = Annotated[
    Literal["drawn", "zero"],
    Field(description="how spans are corrected before training: by drawn weights, or not at all"),
]
"""An option of decoders and heads that correct spans."""


class Decoder(Protocol):
    """Turns queries into moments by attention to the memory. An `nn.Module`."""

    def __call__(self, queries: Queries, memory: Memory) -> Decoded:
        """Return the result of each layer."""


class DecoderPart(BlockPart):
    """How queries become moments."""

    slot = "decoder"
    builds = Decoder


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


class HeadPart(ProvidingPart, BlockPart):
    """One or more predictions. The heads together must provide "spans" and "scores".

    Moments are ranked by "scores", or by "ranking_scores" if a head provides them. The matcher reads
    "scores", never "ranking_scores", so that the ranking has no influence on the training.
    """

    slot = "head"
    builds = Head

    @abstractmethod
    def build(self, context: BlockContext) -> nn.Module:
        """Return a `Head`."""


def owners_of(heads: Sequence[HeadPart], others: Mapping[str, str]) -> dict[str, str]:
    """Return who provides each tensor, by its name, or raise a `problem` if two do.

    Args:
        heads: Of a model.
        others: The same for the tensors of the rest of the model.
    """
    owners = dict(others)
    for head in heads:
        for name in sorted(head.provides):
            if name in owners:
                raise problem(f"heads: {head.use!r} and {owners[name]} both provide {name!r}; keep one.")
            owners[name] = repr(head.use)
    return owners
