"""Weighted means of weights, number by number."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import torch
from torch import Tensor

from amrbench.errors import RunError, some
from amrbench.slots.soups import Candidate, Weights

Epoch = Literal["best", "last"]
AGREEMENT = 1e-6
"""Tolerance for floating-point tensors that training does not change: they may differ by rounding."""


def weights_of(candidate: Candidate, epoch: Epoch) -> Weights:
    """Return the weights of a candidate at an epoch."""
    return candidate.best() if epoch == "best" else candidate.last()


def named(kind: str, epoch: Epoch) -> str:
    """Return the name of a model of a run, e.g. "uniform soup"."""
    return f"{kind} soup" if epoch == "best" else f"{kind} soup of last epochs"


def mean_of(candidates: Sequence[Candidate], epoch: Epoch, fixed: Collection[str]) -> Weights:
    """Return the plain mean of the candidates' weights at an epoch; see `WeightedMean`."""
    mean = WeightedMean(fixed)
    for candidate in candidates:
        mean.add(candidate.name, weights_of(candidate, epoch))
    return mean.mean()


class WeightedMean:
    """A running weighted mean in float64; tensors that training does not change must agree and are kept."""

    def __init__(self, fixed: Collection[str]) -> None:
        """`fixed` are the names of tensors that training does not change."""
        self.fixed = fixed
        self.names: list[str] = []
        self.first: Weights = {}
        self.sums: dict[str, Tensor] = {}
        self.totals: dict[str, Tensor] = {}

    def add(self, name: str, weights: Weights, importance: Weights | None = None) -> None:
        """Add the weights of a seed, each number with its importance; without, all count the same.

        Raises:
            RunError: A fixed tensor differs from that of the first seed.
        """
        self.names.append(name)
        self.first = self.first or weights
        different = [key for key in sorted(self.fixed) if not agree(self.first[key], weights[key])]
        if different:
            raise RunError(
                f"a soup cannot be made: {self.names[0]} and {name} disagree in {some(different)}, which "
                "training does not change, so their weights mean different things. Make it independent of "
                "the seed of the run, or choose 'soup: none'."
            )
        for key, value in weights.items():
            if key in self.fixed:
                continue
            factor = torch.ones((), dtype=torch.float64) if importance is None else importance[key].double()
            product = factor * value.double()
            self.sums[key] = self.sums[key] + product if key in self.sums else product
            self.totals[key] = self.totals[key] + factor if key in self.totals else factor

    def mean(self) -> Weights:
        """Return the mean of all that was added, in the data types of the first weights."""
        return {
            key: (self.sums[key] / self.totals[key]).to(value.dtype) if key in self.sums else value
            for key, value in self.first.items()
        }


def agree(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, except for rounding."""
    if one.is_floating_point():
        return torch.allclose(one.double(), other.double(), rtol=AGREEMENT, atol=AGREEMENT)
    return torch.equal(one, other)
