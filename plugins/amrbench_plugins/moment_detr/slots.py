"""The slots inside `moment-detr`: one abstract part and one protocol each.

The data between them is offered here too, so that a plugin needs this module alone. Everything is
batch-first. Modules take numbers and built modules, never options; a part's `build` makes them from its
options and the sizes of the whole model.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn

from amrbench.part import Part
from amrbench_plugins.moment_detr.data import Decoded as Decoded
from amrbench_plugins.moment_detr.data import Fused as Fused
from amrbench_plugins.moment_detr.data import Keys as Keys
from amrbench_plugins.moment_detr.data import Memory as Memory
from amrbench_plugins.moment_detr.data import Queries as Queries
from amrbench_plugins.moment_detr.data import Tokens as Tokens
from amrbench_plugins.moment_detr.data import learned_rows as learned_rows

if TYPE_CHECKING:
    from amrbench.types import Context


# ---------------------------------------------------------------- building


class Activation(Protocol):
    """Makes a new activation module for each place that needs one."""

    def mlp(self) -> nn.Module:
        """Return one for projections and small perceptrons."""

    def feedforward(self) -> nn.Module:
        """Return one for the feed-forward part of a transformer layer."""


@dataclass(frozen=True)
class Sizes:
    """What `build` of an inner part may know besides its own options."""

    width: int
    attention_heads: int
    feedforward: int
    dropout: float
    activation: Activation
    initialise: Callable[[nn.Module], None]
    """How a transformer stack at this place draws its weights anew; may leave them alone."""
    context: Context
    eps: float = 1e-3
    """How near to 0 and 1 a share of the recording may come on its way to a logit."""

    def at(self, place: str) -> Sizes:
        """Return the sizes for a slot inside this one."""
        return replace(self, context=self.context.at(place))


class InnerPart(Part):
    """A choice for a slot inside the model."""

    @abstractmethod
    def build(self, sizes: Sizes) -> nn.Module:
        """Return the module of this slot."""


Built_co = TypeVar("Built_co", covariant=True)


class Builds(Protocol[Built_co]):
    """What `build_at` needs of a part."""

    def build(self, sizes: Sizes) -> Built_co:
        """Return the module."""


def build_at(part: Builds[Built_co], place: str, sizes: Sizes) -> Built_co:
    """Build a part for a slot inside, with first weights that depend on the seed and the place alone."""
    inner = sizes.at(place)
    with inner.context.drawing():
        return part.build(inner)


# ---------------------------------------------------------------- slots


class ActivationPart(Part):
    """Activations of the whole model."""

    slot = "activation"

    @abstractmethod
    def build(self) -> Activation:
        """Return the maker of activation modules."""


class RefinePart(InnerPart):
    """A step from memory to memory, `(Memory) -> Memory`; several stand in a list."""

    slot = "refine"
    needs_token: ClassVar[bool] = False
    """Whether it reads the token, which is there only after the fusion."""


class TemporalEmbedding(nn.Module):
    """Tells frames where in the recording they stand; either way of doing so may be left empty."""

    columns_width: int = 0
    """Number of columns that `columns` returns."""

    def columns(self, mask: Tensor) -> Tensor:
        """Return (B, T, columns_width), put before the audio features ahead of the projection."""
        return torch.zeros(*mask.shape, 0, device=mask.device)

    def add(self, mask: Tensor) -> Tensor:
        """Return what is added to the projected audio, of shape (B, T, D) or broadcasting to it."""
        return torch.zeros(1, 1, 1, device=mask.device)


class TemporalEmbeddingPart(InnerPart):
    """How frames learn where in the recording they stand."""

    slot = "temporal_embedding"

    @abstractmethod
    def build(self, sizes: Sizes) -> TemporalEmbedding:
        """Return the embedding."""


class Encoder(Protocol):
    """A stack over a sequence. An `nn.Module`."""

    def __call__(self, tokens: Tokens, first: int | None = None) -> Tensor:
        """Return (B, n, D), or only the `first` rows of it, which may cost less.

        The sequence starts with one special row (or, for the text of a fusion, with its dummies).
        """


class EncoderPart(InnerPart):
    """A stack over a sequence; `around` wraps one in another."""

    slot = "encoder"


class AttentionNorm(nn.Module):
    """What happens to rows on their way into a layer of cross attention; residuals keep them as they were."""

    def audio(self, rows: Tensor) -> Tensor:
        """Return (B, T, D), ready to be queries."""
        return rows

    def text(self, rows: Tensor) -> Tensor:
        """Return (B, S + L, D), ready to be keys and values."""
        return rows


class NormPart(InnerPart):
    """Normalisation ahead of cross attention; one module a layer."""

    slot = "attention_norm"

    @abstractmethod
    def build(self, sizes: Sizes) -> AttentionNorm:
        """Return the normalisation of one layer."""


class Fusion(Protocol):
    """Makes audio know its text. An `nn.Module`."""

    def keys(self, words: Tokens) -> Keys:
        """Return what the audio is fused with; computed once for all views of a batch."""

    def __call__(self, audio: Tokens, keys: Keys) -> Fused:
        """Fuse each recording with the keys of the same row of the batch."""


class FusionPart(InnerPart):
    """How text reaches the audio."""

    slot = "fusion"

    @property
    @abstractmethod
    def provides(self) -> frozenset[str]:
        """Return the names of the tensors it provides; "dummies" if its keys hold some."""


class AnchorsPart(InnerPart):
    """Where the decoder's queries look first: a module `() -> (Q, 2)` spans in (0, 1)."""

    slot = "anchors"


class QueryPart(InnerPart):
    """What the decoder starts from: a module `(tensors provided so far) -> Queries`."""

    slot = "query"
    requires: ClassVar[frozenset[str]] = frozenset()
    """Names of the tensors it reads."""


class PriorPart(InnerPart):
    """A bias on the decoder's attention to frames; one module a layer.

    The module takes (anchors (B, Q, 2), content (B, Q, D), mask (B, T)) and returns what is added to
    the logits: (B, H, Q, T) or a shape that broadcasts to it.
    """

    slot = "prior"


class Decoder(Protocol):
    """Turns queries into moments by looking at the memory. An `nn.Module`."""

    def __call__(self, queries: Queries, memory: Memory) -> Decoded:
        """Return what each layer found."""


class DecoderPart(InnerPart):
    """How queries become moments."""

    slot = "decoder"


class Head(nn.Module):
    """Reads predictions off the memory, the decoded queries, or both."""

    def of_memory(self, memory: Memory) -> Mapping[str, Tensor]:
        """Return tensors of the memory, batch first; also asked of other views of a batch."""
        return {}

    def of_queries(self, decoded: Decoded) -> Mapping[str, Tensor]:
        """Return tensors of the queries, (N, B, Q, ...)."""
        return {}


class HeadPart(InnerPart):
    """One or more predictions. The heads together must provide "spans" and "scores".

    Moments are ranked by "scores", or by "ranking_scores" where a head provides them; the matcher reads the
    former alone, so that a way of ranking changes no training.
    """

    slot = "head"

    @property
    @abstractmethod
    def provides(self) -> frozenset[str]:
        """Return the names of the tensors it provides."""

    @abstractmethod
    def build(self, sizes: Sizes) -> Head:
        """Return the head."""
