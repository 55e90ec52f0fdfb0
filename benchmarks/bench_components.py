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
"""Updates that are timed together, because periodic ASAM does more in every fifth."""


@cache
def recipes() -> dict[str, Recipe]:
    """The baseline, the baseline with each component, and submission 1, all at full size."""
    study = expand("components", load_registry())
    assert isinstance(study, Study)
    single = {variant.change: variant for variant in study.variants if variant.family == "only"}
    methods = {"base": study.base, **single, "all": study.full}
    return {name: method.recipe for name, method in methods.items()}


def updates(recipe: Recipe) -> Callable[[], None]:
    """A few updates of a recipe on one batch, with losses and optimizer."""
    context = BuildContext(
        FeatureWidths(768, 768), 0, recipe.stages[-1].input_dropout, window_widths=(0.1, 0.2, 0.3)
    )
    criterion = build_criterion(recipe, context).train()
    given = problem(BATCH, FRAMES)
    batch, target = golden.batch_of(given.inputs), golden.target_of(given.targets)
    length = TrainingLength(epochs=1, steps_per_epoch=1_000, clip=recipe.training.clip)
    updater = recipe.training.optimizer.build(criterion, length)

    def run() -> None:
        for _ in range(STEPS):
            updater.step(partial(criterion, batch, target))

    return run


@pytest.mark.parametrize("name", [name for name in recipes() if name != "base"])
def test_updates(benchmark: BenchmarkFixture, name: str) -> None:
    """Processor time, in turns with the baseline in one process with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    changed, baseline = updates(recipes()[name]), updates(recipes()["base"])
    changed(), baseline()
    pairs = [(seconds(changed), seconds(baseline)) for _ in range(ROUNDS)]
    benchmark.pedantic(changed, rounds=1)
    torch.set_num_threads(threads)
    benchmark.extra_info.update(
        times_the_baseline=round(median(own / base for own, base in pairs), 2),
        step_ms=round(1e3 * median(own for own, _ in pairs) / STEPS, 1),
    )
