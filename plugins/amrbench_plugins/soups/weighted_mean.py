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
    """Return the plain mean of the candidates' weights at an epoch, summed in float64.

    It is made tensor by tensor, so that only the mean and one tensor are in memory, however many candidates
    there are. Tensors that training does not change (`fixed`) must agree; those of the first are kept.

    Raises:
        RunError: A fixed tensor differs from that of the first candidate.
    """
    weights = [weights_of(candidate, epoch) for candidate in candidates]
    first, others = weights[0], weights[1:]
    for candidate, other in zip(candidates[1:], others, strict=True):
        refuse_disagreement(fixed, (candidates[0].name, first), (candidate.name, other))
    return {
        name: value if name in fixed else _mean_tensor(value, [other[name] for other in others])
        for name, value in first.items()
    }


def _mean_tensor(first: Tensor, others: Sequence[Tensor]) -> Tensor:
    total = first.to(torch.float64, copy=True)
    for other in others:
        total.add_(other)
    return total.div_(1 + len(others)).to(first.dtype)


class WeightedMean:
    """A running weighted mean in float64; tensors that training does not change must agree and are kept.

    What is added goes into the sums in place: two numbers of eight bytes for each number of a model.
    """

    def __init__(self, fixed: Collection[str]) -> None:
        """`fixed` are the names of tensors that training does not change."""
        self.fixed = fixed
        self.names: list[str] = []
        self.first: Weights = {}
        self.sums: dict[str, Tensor] = {}
        self.totals: dict[str, Tensor] = {}

    def add(self, name: str, weights: Weights, importance: Weights) -> None:
        """Add the weights of a seed, each number with its importance.

        Raises:
            RunError: A fixed tensor differs from that of the first seed.
        """
        self.names.append(name)
        self.first = self.first or weights
        refuse_disagreement(self.fixed, (self.names[0], self.first), (name, weights))
        for key, value in weights.items():
            if key in self.fixed:
                continue
            product = value.to(torch.float64, copy=True).mul_(importance[key])
            if key in self.sums:
                self.sums[key].add_(product)
                self.totals[key].add_(importance[key])
            else:
                self.sums[key] = product
                self.totals[key] = importance[key].to(torch.float64, copy=True)

    def mean(self) -> Weights:
        """Return the mean of all that was added, in the data types of the first, and free the sums."""
        mean = dict(self.first)
        for key, value in mean.items():
            if key in self.sums:
                mean[key] = self.sums.pop(key).div_(self.totals.pop(key)).to(value.dtype)
        return mean


def refuse_disagreement(fixed: Collection[str], one: tuple[str, Weights], other: tuple[str, Weights]) -> None:
    """Refuse two seeds, given by name and weights, of which a fixed tensor differs.

    Raises:
        RunError: One differs by more than rounding.
    """
    different = [key for key in sorted(fixed) if not agree(one[1][key], other[1][key])]
    if different:
        raise RunError(
            f"a soup cannot be made: {one[0]} and {other[0]} disagree in {some(different)}, which "
            "training does not change, so their weights mean different things. Make it independent of "
            "the seed of the run, or choose 'soup: none'."
        )


def agree(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, except for rounding."""
    if one.is_floating_point():
        return torch.allclose(one.double(), other.double(), rtol=AGREEMENT, atol=AGREEMENT)
    return torch.equal(one, other)
