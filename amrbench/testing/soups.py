"""The contract of soups."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch

from amrbench.interfaces import brief
from amrbench.part import Part
from amrbench.slots.soups import FisherData, SoupPart, SoupResult, Weights
from amrbench.testing.small_data import ContractFixture, expect


@dataclass(frozen=True)
class _Seed:
    """A candidate whose best epoch was its last."""

    name: str
    weights: Weights

    def best(self) -> Weights:
        return self.weights

    def last(self) -> Weights:
        return self.weights


class _SmallestWeights:
    """A scorer that prefers small weights; the first numbers of a tensor matter most."""

    fixed = frozenset({"count"})

    def performance(self, weights: Weights) -> float:
        return -float(weights["weight"].sum())

    def fisher(self, weights: Weights, losses: Sequence[str], data: FisherData) -> Weights:
        size = weights["weight"].numel()
        return {"weight": torch.linspace(1, 0, size, dtype=torch.float64).view_as(weights["weight"])}


def check_soup(part: Part, fixture: ContractFixture) -> None:
    """Check that a soup has names, shapes and types of its candidates, and does not change them."""
    who, part = f"soup {part.use!r}", cast("SoupPart", part)
    for size in (1, 3):
        candidates = [
            _Seed(f"seed {seed}", {"weight": torch.full((2, 3), seed + 1.0), "count": torch.tensor(7)})
            for seed in range(size)
        ]
        cook = part.build()
        soups, again = cook(candidates, _SmallestWeights()), cook(candidates, _SmallestWeights())
        expect(
            isinstance(soups, Mapping), f"{who}: it returns {brief(soups)}, not a mapping of soups by name."
        )
        for name, soup in soups.items():
            one = f"{who}, member {name!r}"
            expect(isinstance(soup, SoupResult), f"{one}: it is {brief(soup)}, not a SoupResult.")
            _check_result(soup, candidates, one)
            same = all(torch.equal(tensor, again[name].weights[key]) for key, tensor in soup.weights.items())
            expect(same, f"{one}: the same candidates give other weights the second time. Keep no state.")
        unchanged = all(
            bool((one.weights["weight"] == seed + 1).all()) for seed, one in enumerate(candidates)
        )
        expect(unchanged, f"{who}: it writes into the candidates.")


def _check_result(soup: SoupResult, candidates: Sequence[_Seed], who: str) -> None:
    weights, given = soup.weights, candidates[0].weights
    expect(set(weights) == set(given), f"{who}: it has {sorted(weights)}, not {sorted(given)}.")
    for name, tensor in weights.items():
        kind, other = (f"{one.dtype} of {tuple(one.shape)}" for one in (tensor, given[name]))
        expect(kind == other, f"{who}: {name!r} is {kind}, not {other} as in the candidates.")
        expect(bool(tensor.isfinite().all()), f"{who}: {name!r} is not finite.")
    try:
        json.dumps(dict(soup.about))
    except TypeError as error:
        raise AssertionError(f"{who}: its `about` cannot be written as JSON: {error}.") from None
    unknown = sorted(set(soup.ingredients) - {candidate.name for candidate in candidates})
    expect(not unknown, f"{who}: its ingredients {unknown} are not candidates.")
