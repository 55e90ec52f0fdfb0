"""Every component can learn: alone, with all of them, and in either baseline, a few clips are learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from amrbench.config.load import load_recipe
from amrbench.config.recipe import Budget, Recipe
from amrbench.config.study import Study, expand
from amrbench.data.feature_dataset import DatasetCache
from amrbench.discovery import load_registry
from amrbench.training.log import Epoch, RunningStage
from amrbench.training.progress_bars import Reporter
from amrbench.training.stage_spec import StageSpec
from amrbench.training.stages import run_stage
from amrbench.training.store_layout import store_of
from tests.plugins.ours.clips import clips

REGISTRY = load_registry()
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
QUICK = ("base", "full", "query", "qd-detr")


@dataclass(frozen=True)
class Change:
    """How a recipe that is not in the study differs from the baseline."""

    model: Mapping[str, Any] = field(default_factory=dict)
    loss: str = ""
    instead_of: str = ""


ONE_LOGIT = {"heads": ["spans", "confidence", "saliency"]}
NOT_IN_THE_STUDY = {
    "learned": Change({"query": "learned"}),
    "confidence": Change(ONE_LOGIT),
    "varifocal-alone": Change(ONE_LOGIT, "varifocal", instead_of="foreground"),
    "varifocal-of-two-logits": Change({}, "varifocal", instead_of="foreground"),
    "iou-alone": Change({"heads": ["spans", "foreground", "saliency", "iou"]}, "iou-l1"),
}


def _recipes() -> dict[str, Recipe]:
    study = expand("components", REGISTRY)
    assert isinstance(study, Study)
    recipes = {"base": study.base.recipe, "full": study.full.recipe}
    recipes["qd-detr"] = load_recipe("qd-detr", REGISTRY)
    recipes |= {variant.change: variant.recipe for variant in study.variants if variant.family == "only"}
    return recipes | {name: _changed(recipes["base"], change) for name, change in NOT_IN_THE_STUDY.items()}


def _changed(recipe: Recipe, change: Change) -> Recipe:
    document = recipe.model_dump(mode="json")
    losses = [loss for loss in document["training"]["losses"] if loss["use"] != change.instead_of]
    document["training"]["losses"] = losses + [{"use": change.loss}] * bool(change.loss)
    return Recipe.model_validate({**document, "model": document["model"] | change.model}, context=REGISTRY)


RECIPES = _recipes()


class LearnedByHeart(Exception):  # noqa: N818 - the test expects it
    """Ends a stage early, because nothing is left to learn."""


class Watch(Reporter):
    """Waits for the epoch in which every clip is predicted correctly."""

    def epoch(self, stage: RunningStage, epoch: Epoch) -> None:
        if epoch.val["decoder"]["R1@0.7"] == 100:
            raise LearnedByHeart


def _shortened(recipe: Recipe) -> Recipe:
    """Return a recipe as one stage without dropout, which prevents learning by heart."""
    small = BUDGET.of(recipe)
    model = small.model.model_copy(update={"dropout": 0.0})
    stage = small.stages[-1].model_copy(update={"fresh": ()})
    return small.model_copy(update={"model": model, "stages": (stage,)})


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in RECIPES]
)
def test_eight_clips_are_learned_by_heart(name, tmp_path):
    recipe, train, select = _shortened(RECIPES[name]), clips(queries_each=8), clips(queries_each=1)
    spec = StageSpec(recipe, 0, 0, (train,), select, versions={}, threads=1, device="cpu")
    with pytest.raises(LearnedByHeart):
        run_stage(spec, store_of(tmp_path), Watch(), DatasetCache())
