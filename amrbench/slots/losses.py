"""Losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import Field

from amrbench.part import Part

if TYPE_CHECKING:
    from torch import Tensor, nn

    from amrbench.types import BuildContext, Outcome

LARGEST_WEIGHT = 1e6
"""Of a loss in the total, or of a term of the matcher's cost."""


class Loss(Protocol):
    """One or more terms of the total. An `nn.Module`: it may own parameters."""

    def __call__(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return named, weighted terms; each a scalar, or (N,) with one value for each decoder layer."""


class LossPart(Part):
    """A loss: one or more terms to minimise."""

    slot = "loss"
    builds = Loss
    builds_module = True
    requires: ClassVar[frozenset[str]] = frozenset()
    """Names of the tensors of the batch itself that it reads."""
    views: ClassVar[Mapping[str, frozenset[str]]] = {}
    """Names of the tensors that it reads, for other views of the batch."""
    compares_queries: ClassVar[bool] = False
    """Whether a term compares the queries of a batch with each other, e.g. in a contrast."""

    weight: float = Field(1.0, ge=0, le=LARGEST_WEIGHT, description="factor of this loss in the total")

    @abstractmethod
    def build(self, context: BuildContext) -> nn.Module:
        """Return a `Loss`."""
