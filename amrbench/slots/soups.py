"""Soups: models made of the fine-tuned weights of several seeds."""

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
    """The fine-tuned weights of one seed. They are read on request, so that they are not all in memory."""

    @property
    def name(self) -> str:
        """Return e.g. "seed 0"."""

    def best(self) -> Weights:
        """Return the weights of the epoch that was best for the read-out, on the selection split."""

    def last(self) -> Weights:
        """Return the weights of the last epoch."""


FisherData = Literal["select", "train"]
"""Queries that Fisher information is computed of: those of the selection split, or of the training splits."""


class SoupScorer(Protocol):
    """Measures weights for a soup, on the data of the stage that made them."""

    @property
    def fixed(self) -> frozenset[str]:
        """Return the names of tensors that training does not change, such as buffers."""

    def performance(self, weights: Weights) -> float:
        """Return the first metric of `training.select` on the selection split.

        It is that of the read-out that chose the epochs.
        """

    def fisher(self, weights: Weights, losses: Sequence[str], data: FisherData) -> Weights:
        """Return the diagonal of the empirical Fisher matrix, for each trained tensor, in float64.

        It is the mean over queries of the squared gradient of the sum of these losses, computed for each
        query alone; zeros for a tensor without a gradient. The part names the losses in `losses_read`.
        """


@dataclass(frozen=True)
class SoupResult:
    """A model that a soup made.

    Attributes:
        weights: One tensor for each name that the candidates have.
        ingredients: Names of the candidates that were used.
        kind: "single" for the unchanged weights of one candidate, a baseline of the soups.
        note: A remark on its metrics, as the end of a sentence; may be empty.
        about: Plain values that are also written into the weights file, e.g. an option.
    """

    weights: Weights
    ingredients: Sequence[str]
    kind: Literal["soup", "single"] = "soup"
    note: str = ""
    about: Mapping[str, object] = field(default_factory=dict)


class Soup(Protocol):
    """Combines the weights of several seeds."""

    def __call__(self, candidates: Sequence[Candidate], scorer: SoupScorer) -> Mapping[str, SoupResult]:
        """Return additional models of the run by name, e.g. {"uniform soup": result}; may be empty."""


class SoupPart(Part):
    """How models are made of the fine-tuned weights of several seeds."""

    slot = "soup"
    builds = Soup

    @property
    def losses_read(self) -> frozenset[str]:
        """Return the names of the recipe's losses whose Fisher matrix it needs."""
        return frozenset()

    @abstractmethod
    def build(self) -> Soup:
        """Return the soup."""
