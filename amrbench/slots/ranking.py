"""Steps from raw moments to the list that is scored."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from amrbench.part import Part

if TYPE_CHECKING:
    from amrbench.types import Ranking


class RankingPart(Part):
    """A step from raw moments to the list that is scored."""

    slot = "ranking"

    @abstractmethod
    def build(self) -> Ranking:
        """Return a function of (moments (Q, 3) start, end, score, best first; query) to a new list."""
