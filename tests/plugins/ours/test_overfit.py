"""Every component can learn: with it alone, and with all of them, a few clips are learned by heart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from amrbench.config.recipe import Budget, Recipe
from amrbench.config.study import Study, expand
from amrbench.discovery import load_registry
from amrbench.training.log import Epoch, Working
from amrbench.training.progress_bars import NullReporter
from amrbench.training.stages import StageSpec, stage, store_of
from amrbench.types import FeatureWidths, Query

Rows = NDArray[np.float32]
REGISTRY = load_registry()
WIDTH = 16
BUDGET = Budget(
    epochs={"target": 160},
    width=32,
    feedforward=64,
    layers=1,
    dummies=3,
    batch=8,
    lr=2e-3,
    warmup=0.05,
    input_dropout=0,
)
QUICK = ("base", "full", "query")


class Clips:
    """Eight clips of noise; in one or two windows of each, the sound that its queries ask for is heard.

    Args:
        asked: Queries for each clip, all for the same sound; they only make an epoch longer.
    """

    place = encoder = "eight clips"
    widths = FeatureWidths(WIDTH, WIDTH)
    hop = 1.0

    def __init__(self, asked: int) -> None:
        self.asked = asked
        self.fingerprint = f"eight clips {asked}"

    @cached_property
    def queries(self) -> Sequence[Query]:
        rng = np.random.default_rng(0)
        clips = [_windows(number, rng) for number in range(8)]
        return [
            Query(f"{number}.{turn}", "a sound", str(number), 30.0, windows, {})
            for turn in range(self.asked)
            for number, windows in enumerate(clips)
        ]

    def check(self) -> None:
        """Find nothing wrong."""

    def audio(self, vid: str) -> Rows:
        query = self.queries[int(vid)]
        rows = np.random.default_rng((1, int(vid))).normal(0, 0.2, (30, WIDTH))
        for start, end in query.windows:
            rows[int(start) : int(end)] += _sound(int(vid))
        return rows.astype(np.float32)

    def text_key(self, query: Query) -> str:
        return query.vid

    def text(self, query: Query) -> Rows:
        noise = np.random.default_rng((2, int(query.vid))).normal(0, 0.2, (3, WIDTH))
        return (noise + _sound(int(query.vid))).astype(np.float32)


def _windows(number: int, rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    start, width = int(rng.integers(2, 8)), int(rng.integers(4, 9))
    windows = [(float(start), float(start + width))]
    if number % 4 == 0:
        windows.append((float(start + width + 4), float(start + width + 9)))
    return tuple(windows)


def _sound(number: int) -> Rows:
    return np.random.default_rng((3, number)).normal(0, 1, WIDTH).astype(np.float32)


@dataclass(frozen=True)
class Change:
    """What lies between the baseline and a recipe that the study has no row for."""

    model: Mapping[str, Any] = field(default_factory=dict)
    loss: str = ""
    instead_of: str = ""


ONE_LOGIT = {"heads": ["spans", "confidence", "saliency"]}
BESIDE_THE_STUDY = {
    "learned": Change({"query": "learned"}),
    "confidence": Change(ONE_LOGIT),
    "varifocal-alone": Change(ONE_LOGIT, "varifocal", instead_of="foreground"),
    "varifocal-of-two-logits": Change({}, "varifocal", instead_of="foreground"),
    "iou-alone": Change({"heads": ["spans", "foreground", "saliency", "iou"]}, "iou-l1"),
}


def _recipes() -> dict[str, Recipe]:
    study = expand("components", REGISTRY)
    assert isinstance(study, Study)
    alone = {each.switch.name: each.method for each in study.variants if each.family == "only"}
    found = {name: each.recipe for name, each in ({"base": study.base, "full": study.full} | alone).items()}
    return found | {name: _changed(found["base"], change) for name, change in BESIDE_THE_STUDY.items()}


def _changed(recipe: Recipe, change: Change) -> Recipe:
    document = recipe.model_dump(mode="json")
    losses = [loss for loss in document["training"]["losses"] if loss["use"] != change.instead_of]
    document["training"]["losses"] = losses + [{"use": change.loss}] * bool(change.loss)
    return Recipe.model_validate({**document, "model": document["model"] | change.model}, context=REGISTRY)


RECIPES = _recipes()


class LearnedByHeart(Exception):  # noqa: N818 - it is what the test waits for
    """Breaks off a stage, for there is nothing left to learn."""


class Watch(NullReporter):
    """Waits for the epoch in which every clip is answered right."""

    def epoch(self, working: Working, epoch: Epoch) -> None:
        if epoch.val["R1@0.7"] == 100:
            raise LearnedByHeart


def _shortened(recipe: Recipe) -> Recipe:
    """Return a recipe as one stage; dropout, which is against learning by heart, is off."""
    small = BUDGET.of(recipe)
    model = small.model.model_copy(update={"dropout": 0.0})
    stage = small.stages[-1].model_copy(update={"fresh": ()})
    return small.model_copy(update={"model": model, "stages": (stage,)})


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in RECIPES]
)
def test_eight_clips_are_learned_by_heart(name, tmp_path):
    recipe, train, select = _shortened(RECIPES[name]), Clips(asked=8), Clips(asked=1)
    spec = StageSpec(recipe, 0, 0, (train,), select, versions={}, threads=1, device="cpu")
    with pytest.raises(LearnedByHeart):
        stage(spec, store_of(tmp_path), Watch())
