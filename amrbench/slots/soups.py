"""Soups: what is made of the fine-tuned weights of many seeds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from amrbench.part import Part

if TYPE_CHECKING:
    from torch import Tensor

Weights = Mapping[str, "Tensor"]
"""The state of a model and its losses, by name."""


class Candidate(Protocol):
    """One fine-tuned seed. Weights are read on request, so that never all are in memory."""

    @property
    def name(self) -> str:
        """Return e.g. "seed 0"."""

    def best(self) -> Weights:
        """Return the weights of the epoch that scored best on the selection split."""

    def last(self) -> Weights:
        """Return the weights of the last epoch."""


class SoupScorer(Protocol):
    """Answers what a soup may ask about weights; the selection split is all that it looks at."""

    @property
    def fixed(self) -> frozenset[str]:
        """Return the names of tensors that training does not change, such as buffers."""

    def performance(self, weights: Weights) -> float:
        """Return the first metric of `training.select`; higher is better."""

    def fisher(self, weights: Weights, losses: Sequence[str]) -> Weights:
        """Return the diagonal of the empirical Fisher matrix, for each trained tensor, in float64.

        It is the mean over queries of the squared gradient of the sum of these losses, each query alone.
        A tensor that they do not reach has zeros. The part names the losses in `losses_read`.
        """


@dataclass(frozen=True)
class SoupResult:
    """Weights that a soup made, and how.

    Attributes:
        weights: One tensor for each name that the candidates have.
        ingredients: Names of the candidates that went in.
        kind: "single" for the unchanged weights of one candidate, which soups are measured by.
        note: What a reader of its metrics should know, as the end of a sentence; empty for nothing.
        about: Plain values that are written into the weights file besides, e.g. an option.
    """

    weights: Weights
    ingredients: Sequence[str]
    kind: Literal["soup", "single"] = "soup"
    note: str = ""
    about: Mapping[str, object] = field(default_factory=dict)


class Soup(Protocol):
    """Combines the weights of several seeds."""

    def __call__(self, candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
        """Return further models of the run by name, e.g. {"uniform soup": result}; none for no soup."""


class SoupPart(Part):
    """What is made of the fine-tuned weights of many seeds."""

    slot = "soup"

    @property
    def losses_read(self) -> frozenset[str]:
        """Return the names of the recipe's losses that it asks about."""
        return frozenset()

    @abstractmethod
    def build(self) -> Soup:
        """Return the soup."""
