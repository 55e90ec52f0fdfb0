"""Models: audio features and a sentence in, tensors out that read-outs and losses read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import Field

from amrbench.part import Strict
from amrbench.slots.provided import ProvidingPart

if TYPE_CHECKING:
    from torch import nn

    from amrbench.types import Batch, BuildContext, Encoded, Tensors


class Limits(Strict):
    """The longest input of a model; longer recordings and sentences are cut."""

    frames: int = Field(300, ge=1, le=100_000, description="feature rows of a recording")
    words: int = Field(32, ge=1, le=10_000, description="tokens of a sentence")


class MomentModel(Protocol):
    """Audio features and a sentence in, tensors out. An `nn.Module`."""

    def encode(self, batch: Batch, views: Collection[str] = ()) -> Encoded:
        """Compute everything before the decoder, for the batch and each requested view."""

    def decode(self, encoded: Encoded) -> Tensors:
        """Return what the decoder and the heads on it provide for the batch itself; {} without a decoder."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return the parameters."""


class ModelPart(ProvidingPart):
    """A complete model. Its inner slots, if it has any, are fields. `encode` and `decode` provide tensors."""

    slot = "model"
    builds = MomentModel
    builds_module = True
    views: ClassVar[frozenset[str]] = frozenset()
    """Names of the views of a batch that `encode` can compute for losses."""

    @abstractmethod
    def build(self, context: BuildContext) -> nn.Module:
        """Return a `MomentModel`."""
