"""Soups written plainly: every intermediate result is a tensor of its own."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import repeat

import torch
from torch import Tensor

from amrbench.slots.soups import Weights


def plain_mean(
    models: Iterable[Weights], fixed: Collection[str], importances: Iterable[Weights] | None = None
) -> dict[str, Tensor]:
    """Return the mean of some models, each number with its importance; without, all count the same."""
    first: Weights = {}
    sums: dict[str, Tensor] = {}
    totals: dict[str, Tensor] = {}
    for weights, importance in zip(models, importances or repeat(None), strict=False):
        first = first or weights
        for key in weights.keys() - fixed:
            one = torch.ones((), dtype=torch.float64)
            factor = one if importance is None else importance[key].double()
            product = factor * weights[key].double()
            sums[key] = sums[key] + product if key in sums else product
            totals[key] = totals[key] + factor if key in totals else factor
    return {
        key: (sums[key] / totals[key]).to(value.dtype) if key in sums else value
        for key, value in first.items()
    }


def plain_importance(information: Weights, floor: float) -> dict[str, Tensor]:
    """Return the information, at least `floor`, divided by the norm of all of it."""
    norm = plain_row(information).norm()
    return {key: tensor.double().clamp(min=floor) / norm for key, tensor in information.items()}


def plain_fisher(
    models: Iterable[Weights], fixed: Collection[str], information: Iterable[Weights], floor: float
) -> tuple[dict[str, Tensor], list[float]]:
    """Return the mean weighted by Fisher information, and the floored part of each model."""
    floored = []

    def importances() -> Iterator[Weights]:
        for one in information:
            row = plain_row(one) / plain_row(one).norm()
            least = floor / math.sqrt(len(row))
            floored.append(round((row < least).double().mean().item(), 6))
            yield {key: value.clamp(min=least) for key, value in plain_importance(one, 0.0).items()}

    return plain_mean(models, fixed, importances()), floored


def plain_row(information: Mapping[str, Tensor]) -> Tensor:
    """Return all numbers in one row."""
    return torch.cat([tensor.double().flatten() for tensor in information.values()])


def drawn_models(
    count: int, shapes: Mapping[str, tuple[int, ...]], *, dtype: torch.dtype = torch.float32
) -> list[dict[str, Tensor]]:
    """Return models of random weights that lie near each other, and a fixed tensor "grid"."""
    generator = torch.Generator().manual_seed(0)
    base = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return [
        {
            **{
                name: (value + 0.1 * torch.randn(value.shape, generator=generator)).to(dtype)
                for name, value in base.items()
            },
            "grid": torch.arange(3.0),
        }
        for _ in range(count)
    ]


def drawn_information(
    count: int, shapes: Mapping[str, tuple[int, ...]], scale: float = 1e-4
) -> list[dict[str, Tensor]]:
    """Return random Fisher information of the trained tensors, as small as that of real models."""
    generator = torch.Generator().manual_seed(1)
    return [
        {
            name: (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).square()
            for name, shape in shapes.items()
        }
        for _ in range(count)
    ]
