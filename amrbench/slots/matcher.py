"""Matchers: which decoder query is assigned to which true span."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Protocol

from amrbench.part import Part

if TYPE_CHECKING:
    from torch import Tensor

    from amrbench.types import Target, Tensors


class Matcher(Protocol):
    """Assigns decoder queries to true spans."""

    def __call__(self, tensors: Tensors, target: Target) -> Tensor:
        """Return (N, B, W) integers: the query of each true span, -1 for none."""


class MatcherPart(Part):
    """How decoder queries are assigned to true spans."""

    slot = "matcher"
    builds = Matcher
    requires: ClassVar[frozenset[str]] = frozenset()
    """Names of the tensors it reads."""

    @abstractmethod
    def build(self) -> Matcher:
        """Return the matcher."""
