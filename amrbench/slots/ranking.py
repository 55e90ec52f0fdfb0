"""Steps from the moments that were read out to the list that is scored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from amrbench.part import Part

if TYPE_CHECKING:
    from amrbench.types import Candidates, Plain, Query, Ranking


class RankingStep(Protocol):
    """Changes a list of moments. It may be a function."""

    def __call__(self, candidates: Candidates, query: Query) -> Candidates:
        """Return a new list, best first; the query comes without its ground truth."""


class RankingPart(Part):
    """A step from the moments that were read out to the list that is scored."""

    slot = "ranking"
    builds = RankingStep
    requires: ClassVar[frozenset[str]] = frozenset()
    """Names of the evidence that it reads; see `ReadoutPart.evidence`."""
    learns: ClassVar[bool] = False
    """Whether `fit` needs examples of the selection split."""

    def fit(self, examples: Sequence[tuple[Candidates, Query]]) -> Mapping[str, Plain]:  # noqa: ARG002
        """Return what it learns from queries of the selection split, with their ground truth.

        Only called if it `learns`. The candidates have passed the steps before this one. The result is
        written into the result of the run, and given to `build`.
        """
        return {}

    @abstractmethod
    def build(self, fitted: Mapping[str, Plain]) -> Ranking:
        """Return a `RankingStep` for what `fit` returned; empty for a step that does not learn."""
