"""Time of a training step with deterministic algorithms, as training uses them, against one without.

Run: pytest benchmarks/bench_numerics.py --benchmark-enable -s
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.config.load import load_recipe
from amrbench.discovery import load_registry
from benchmarks.interleaved import interleaved
from benchmarks.ours import criterion_of, step_of
from benchmarks.problems import problem


@pytest.mark.parametrize(
    "name", ["cgdetr", pytest.param("ours1", marks=pytest.mark.quick), "ours3", "beyond", "sliding-window"]
)
def test_deterministic_algorithms(benchmark: BenchmarkFixture, name: str) -> None:
    recipe = load_recipe(name, load_registry())
    deterministic = step_of(recipe, criterion_of(recipe), problem(8, 60))

    def any_algorithm() -> None:
        torch.use_deterministic_algorithms(False)
        try:
            deterministic()
        finally:
            torch.use_deterministic_algorithms(True)

    rounds = interleaved(any_algorithm, deterministic, 15)
    benchmark.pedantic(deterministic, rounds=1)
    benchmark.extra_info.update(rounds.extra_info())
    print(f"\n{name}: {rounds.text()}")
