"""Models: audio features and a sentence in, scored spans out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from amrbench.part import Part

if TYPE_CHECKING:
    from torch import nn

    from amrbench.types import Batch, BuildContext, Encoded, Prediction


class MomentModel(Protocol):
    """Audio features and a sentence in, scored spans out. An `nn.Module`."""

    def encode(self, batch: Batch, views: Collection[str] = ()) -> Encoded:
        """Do all that comes before the decoder, for the batch and for each view asked for."""

    def decode(self, encoded: Encoded) -> Prediction:
        """Finish the batch as it is."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return the trainable tensors."""


class ModelPart(Part):
    """A whole model. Its own slots, if it has any, are fields."""

    slot = "model"
    views: ClassVar[frozenset[str]] = frozenset()
    """Further views of a batch that `encode` can give to losses."""

    @property
    @abstractmethod
    def provides(self) -> Mapping[str, str]:
        """Return the axes of each tensor that encode and decode provide, by its name.

        Axes are letters of the shape alphabet (`amrbench.types`) and numbers, e.g. {"spans": "N B Q 2"}. A
        sum such as "S+L" is one axis, and its letters may be any that the model explains.
        """

    @abstractmethod
    def build(self, context: BuildContext) -> nn.Module:
        """Return a `MomentModel`."""
