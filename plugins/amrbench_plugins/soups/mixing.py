"""Weighted means of weights, entry by entry."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from amrbench.errors import RunError, some
from amrbench.slots.soups import Candidate, Weights

Ingredient = Literal["best", "last"]
AGREEMENT = 1e-6
"""By how much real numbers that training does not move may differ: rounding, no more."""


def ingredient(default: Ingredient = "best") -> Any:
    """Return the option that says which epoch of each seed goes in."""
    return Field(default, description="epoch of each seed: the best on the selection split, or the last")


def weights_of(candidate: Candidate, epoch: Ingredient) -> Weights:
    """Return the weights of a candidate at an epoch."""
    return candidate.best() if epoch == "best" else candidate.last()


def named(kind: str, epoch: Ingredient) -> str:
    """Return the name of a member, e.g. "uniform soup"."""
    return f"{kind} soup" if epoch == "best" else f"{kind} soup of last epochs"


class WeightedMean:
    """Sums up weights in float64; what training does not move must agree and stays."""

    def __init__(self, fixed: Collection[str]) -> None:
        """`fixed` are the names of tensors that training does not move."""
        self.fixed = fixed
        self.names: list[str] = []
        self.first: Weights = {}
        self.sums: dict[str, Tensor] = {}
        self.shares: dict[str, Tensor] = {}

    def add(self, name: str, weights: Weights, importance: Weights | None = None) -> None:
        """Put in the weights of a seed; `importance` of each number, none for all the same.

        Raises:
            RunError: It disagrees with the first in what training does not move.
        """
        if not self.names:
            self.first = weights
        self._refuse_other(name, weights)
        for each, value in self._moved(weights):
            share = torch.ones((), dtype=torch.float64) if importance is None else importance[each].double()
            added = share * value.double()
            self.sums[each] = self.sums[each] + added if each in self.sums else added
            self.shares[each] = self.shares[each] + share if each in self.shares else share
        self.names.append(name)

    def mean(self) -> Weights:
        """Return the mean of all that was put in, of the kinds of numbers that the first has."""
        means = {each: self.sums[each] / self.shares[each] for each in self.sums}
        return {
            each: means[each].to(value.dtype) if each in means else value
            for each, value in self.first.items()
        }

    def _moved(self, weights: Weights) -> Iterator[tuple[str, Tensor]]:
        return ((each, value) for each, value in weights.items() if each not in self.fixed)

    def _refuse_other(self, name: str, weights: Weights) -> None:
        apart = [each for each in sorted(self.fixed) if not _agree(self.first[each], weights[each])]
        if apart:
            raise RunError(
                f"a soup cannot be made: {self.names[0]} and {name} disagree in {some(apart)}, which "
                "training does not move, so their weights mean different things. Let it not depend on the "
                "seed of the run, or choose 'soup: none'."
            )


def _agree(one: Tensor, other: Tensor) -> bool:
    if one.is_floating_point():
        return bool(torch.allclose(one.double(), other.double(), rtol=AGREEMENT, atol=AGREEMENT))
    return torch.equal(one, other)
