"""Steps from raw moments to the list that is scored."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

from amrbench.part import Part

if TYPE_CHECKING:
    from amrbench.types import Query, Ranking, Rows


class RankingStep(Protocol):
    """Changes a list of moments. It may be a function."""

    def __call__(self, moments: Rows, query: Query) -> Rows:
        """Return a new list for moments (Q, 3)."""


class RankingPart(Part):
    """A step from raw moments to the list that is scored."""

    slot = "ranking"
    builds = RankingStep

    @abstractmethod
    def build(self) -> Ranking:
        """Return a function of (moments (Q, 3) start, end, score, best first; query) to a new list."""
