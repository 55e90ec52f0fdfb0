"""Time of training steps with each component of the report, against the baseline without it.

Run: pytest benchmarks/bench_components.py --benchmark-enable
"""

from __future__ import annotations

from functools import cache
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.config.recipe import Recipe
from amrbench.config.study import Study, expand
from amrbench.discovery import load_registry
from benchmarks.interleaved import Work, interleaved
from benchmarks.ours import criterion_of, step_of
from benchmarks.problems import problem

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


def updates(recipe: Recipe) -> Work:
    """A few updates of a recipe on one batch, with losses and optimizer."""
    step = step_of(recipe, criterion_of(recipe), problem(BATCH, FRAMES))
    return lambda: [step() for _ in range(STEPS)]


@pytest.mark.parametrize("name", [name for name in recipes() if name != "base"])
def test_updates(benchmark: BenchmarkFixture, name: str) -> None:
    baseline, changed = updates(recipes()["base"]), updates(recipes()[name])
    rounds = interleaved(baseline, changed, 5)
    benchmark.pedantic(changed, rounds=1)
    benchmark.extra_info.update(rounds.extra_info(), step_ms=1000 * median(rounds.slow) / STEPS)
