"""Models: audio features and a sentence in, scored spans out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import Field

from amrbench.part import Part, Strict

if TYPE_CHECKING:
    from torch import nn

    from amrbench.types import Batch, BuildContext, Encoded, Prediction


class Limits(Strict):
    """The longest input of a model; longer recordings and sentences are cut."""

    frames: int = Field(300, ge=1, description="feature rows of a recording")
    words: int = Field(32, ge=1, description="tokens of a sentence")


class MomentModel(Protocol):
    """Audio features and a sentence in, scored spans out. An `nn.Module`."""

    def encode(self, batch: Batch, views: Collection[str] = ()) -> Encoded:
        """Compute everything before the decoder, for the batch and each requested view."""

    def decode(self, encoded: Encoded) -> Prediction:
        """Return the moments of the batch itself; views have none."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return the parameters."""


class ModelPart(Part):
    """A complete model. Its inner slots, if it has any, are fields."""

    slot = "model"
    views: ClassVar[frozenset[str]] = frozenset()
    """Names of the views of a batch that `encode` can compute for losses."""

    @property
    @abstractmethod
    def provides(self) -> Mapping[str, str]:
        """Return the axes of each tensor that encode and decode provide, by its name.

        Axes are letters of the shape alphabet (`amrbench.types`) or numbers, e.g. {"spans": "N B Q 2"}. A
        sum such as "S+L" is one axis; its letters may be others that the model documents.
        """

    @abstractmethod
    def build(self, context: BuildContext) -> nn.Module:
        """Return a `MomentModel`."""
