"""What holds for every soup and every ranking step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from amrbench.part import Part
from amrbench.slots.ranking import RankingPart
from amrbench.slots.soups import SoupPart, Weights
from amrbench.testing.samples import ContractFixture, expect, make_query


@dataclass(frozen=True)
class Seed:
    """A made-up candidate of a soup."""

    name: str
    weights: Weights

    def best(self) -> Weights:
        """Return its weights."""
        return self.weights

    def last(self) -> Weights:
        """Return its weights: it was best at last."""
        return self.weights


class MadeUpJudge:
    """Likes small weights, and finds the first numbers of a tensor the most important."""

    fixed = frozenset({"count"})

    def performance(self, weights: Weights) -> float:
        """Return a figure."""
        return -float(weights["weight"].sum())

    def fisher(self, weights: Weights, losses: Sequence[str]) -> Weights:  # noqa: ARG002 - a protocol
        """Return a figure for each number that is trained."""
        size = weights["weight"].numel()
        return {"weight": torch.linspace(1, 0, size, dtype=torch.float64).view_as(weights["weight"])}


def check_soup(part: Part, fixture: ContractFixture) -> None:  # noqa: ARG001 - a contract
    """Check that further members have the shape of the candidates, which stay as they are."""
    who, part = f"soup {part.use!r}", cast("SoupPart", part)
    trained = torch.ones(2, 3)
    for size in (1, 3):
        candidates = [
            Seed(f"seed {seed}", {"weight": trained * (seed + 1), "count": torch.tensor(7)})
            for seed in range(size)
        ]
        for name, mixture in part.build()(candidates, MadeUpJudge()).items():
            _check_member(mixture.weights, candidates[0].weights, f"{who}, member {name!r}")
            json.dumps(dict(mixture.about))
            strange = sorted(set(mixture.ingredients) - {each.name for each in candidates})
            expect(not strange, f"{who}, member {name!r}: its ingredients {strange} are no candidates.")
        kept = all(
            torch.equal(each.weights["weight"], trained * (seed + 1)) for seed, each in enumerate(candidates)
        )
        expect(kept, f"{who}: it writes into the candidates.")


def _check_member(weights: Weights, candidate: Weights, who: str) -> None:
    expect(set(weights) == set(candidate), f"{who}: it has {sorted(weights)}, not {sorted(candidate)}.")
    for name, each in weights.items():
        like = candidate[name]
        fits = each.shape == like.shape and each.dtype == like.dtype
        expect(fits, f"{who}: {name!r} is {each.dtype} of {tuple(each.shape)}, not as the candidates.")


def check_ranking(part: Part, fixture: ContractFixture) -> None:  # noqa: ARG001 - a contract
    """Check that the list stays a list of moments, best first, and that the one given stays as it is."""
    who, part = f"ranking {part.use!r}", cast("RankingPart", part)
    rank = part.build()
    moments = np.array([[3, 8, 0.9], [-2, 4.123456, 0.5], [2.9, 8.2, 0.5], [15, 31, 0.1]], dtype=np.float32)
    kept = moments.copy()
    ranked = rank(moments, make_query())
    expect(np.array_equal(moments, kept), f"{who}: it writes into the list that it is given.")
    expect(ranked.ndim == 2 and ranked.shape[1] == 3, f"{who}: it returns {ranked.shape}, not (Q, 3).")
    expect(len(ranked) > 0, f"{who}: it leaves nothing of four moments.")
    expect(bool(np.isfinite(ranked).all()), f"{who}: a moment is not finite.")
    expect(bool((ranked[:, 0] <= ranked[:, 1]).all()), f"{who}: a moment ends before it starts.")
    expect(bool((np.diff(ranked[:, 2]) <= 0).all()), f"{who}: its list is not best first.")
    none = rank(moments[:0], make_query())
    expect(none.shape == (0, 3), f"{who}: it makes {none.shape} of an empty list, not (0, 3).")
