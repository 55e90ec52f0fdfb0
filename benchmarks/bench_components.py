"""Time and memory of one training step with each component of the report, against the baseline without it.

Run: pytest benchmarks/bench_components.py --benchmark-enable
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from statistics import median

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.config.recipe import Recipe
from amrbench.config.study import Study, expand
from amrbench.discovery import load_registry
from amrbench.training.criterion import build_criterion
from amrbench.types import BuildContext, FeatureWidths, TrainingLength
from benchmarks.bench_cgdetr import ROUNDS, problem, seconds
from tests.plugins.cgdetr import golden

BATCH, FRAMES = 8, 60
STEPS = 5
"""Updates that are timed together: periodic ASAM does more in one of five."""


@cache
def recipes() -> dict[str, Recipe]:
    """The baseline, the baseline with each component, and submission 1, all at full size."""
    study = expand("components", load_registry())
    assert isinstance(study, Study)
    alone = {each.switch.name: each.method for each in study.variants if each.family == "only"}
    return {name: each.recipe for name, each in {"base": study.base, **alone, "all": study.full}.items()}


def updates(recipe: Recipe) -> Callable[[], None]:
    """A few updates of a recipe at one fixed shape, losses and optimizer included."""
    context = BuildContext(
        FeatureWidths(768, 768), 0, recipe.stages[-1].input_dropout, window_widths=(0.1, 0.2, 0.3)
    )
    criterion = build_criterion(recipe, context).train()
    given = problem(BATCH, FRAMES)
    batch, target = golden.batch_of(given.inputs), golden.target_of(given.targets)
    plan = TrainingLength(epochs=1, steps_per_epoch=1_000, clip=recipe.training.clip)
    updater = recipe.training.optimizer.build(criterion, plan)

    def run() -> None:
        for _ in range(STEPS):
            updater.step(partial(criterion, batch, target))

    return run


@pytest.mark.parametrize("name", [name for name in recipes() if name != "base"])
def test_updates(benchmark: BenchmarkFixture, name: str) -> None:
    """In turns with the baseline, in one process on one thread, as processor time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    changed, plain = updates(recipes()[name]), updates(recipes()["base"])
    changed(), plain()
    pairs = [(seconds(changed), seconds(plain)) for _ in range(ROUNDS)]
    benchmark.pedantic(changed, rounds=1)
    torch.set_num_threads(threads)
    benchmark.extra_info.update(
        times_the_baseline=round(median(one / other for one, other in pairs), 2),
        step_ms=round(1e3 * median(one for one, _ in pairs) / STEPS, 1),
    )
