"""Recorded models and Fisher weights for soups, and a scorer that knows them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.testing import assert_close

from amrbench.slots.soups import FisherData, SoupPart, SoupResult, Weights
from tests.folders import DATA

GOLDEN = json.loads((DATA / "components/soups.json").read_text())


def weights(numbers: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: torch.tensor(numbers[name], dtype=torch.float64) for name in ("w", "b")}


MODELS = [weights(model) for model in GOLDEN["models"]]
FISHERS = [weights(fisher) for fisher in GOLDEN["fishers"]]


@dataclass
class Seed:
    """A candidate; its last epoch is ten times its best."""

    name: str
    weights: Weights

    def best(self) -> Weights:
        return self.weights

    def last(self) -> Weights:
        return {name: 10 * value if name != "fixed" else value for name, value in self.weights.items()}


class Scorer:
    """Scores by the distance to the recorded target; knows the recorded Fisher weights."""

    def __init__(self, fishers: Sequence[Weights] = (), fixed: tuple[str, ...] = ()) -> None:
        self.fishers = list(fishers)
        self.fixed = frozenset(fixed)
        self.scores: list[float] = []
        self.losses: list[Sequence[str]] = []
        self.data: list[FisherData] = []

    def performance(self, model: Weights) -> float:
        target = weights(GOLDEN["greedy"]["target"])
        score = -sum(float((model[name] - target[name]).square().sum()) for name in target)
        self.scores.append(score)
        return score

    def fisher(self, model: Weights, losses: Sequence[str], data: FisherData) -> Weights:
        self.losses.append(losses)
        self.data.append(data)
        return self.fishers.pop(0)


def seeds(models: Sequence[Weights] = MODELS) -> list[Seed]:
    return [Seed(f"seed {number}", model) for number, model in enumerate(models)]


def make(part: SoupPart, scorer: Scorer | None = None, models: Sequence[Weights] = MODELS) -> SoupResult:
    """Return the only model of a soup."""
    (result,) = part.build()(seeds(models), scorer or Scorer()).values()
    return result


def assert_recorded(model: Weights, numbers: Mapping[str, Any], rtol: float = 1e-10) -> None:
    for name, value in weights(numbers).items():
        assert_close(model[name], value, rtol=rtol, atol=1e-12)
