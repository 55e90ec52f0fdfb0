"""Time of saving the state of a stage of full size, as shares of the shortest and longest time between saves.

It is wall time, because most of it is the disk's.

Run: pytest benchmarks/bench_saving.py --benchmark-enable -s
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.config.load import load_recipe
from amrbench.config.recipe import Recipe
from amrbench.discovery import load_registry
from amrbench.files.tree_file import Tree, size_of
from amrbench.training.saved_states import EPOCH_SECONDS, LONGEST_SECONDS, SavedStates
from benchmarks.interleaved import seconds
from benchmarks.ours import criterion_of, updater_of
from benchmarks.problems import problem

ROUNDS = 5


@pytest.mark.parametrize("name", [pytest.param("cgdetr", marks=pytest.mark.quick), "ours3"])
def test_saving(benchmark: BenchmarkFixture, tmp_path: Path, name: str) -> None:
    tree, states, step = state_of(load_recipe(name, load_registry())), SavedStates(tmp_path), count()
    times = [seconds(lambda: states.save(tree, 0, next(step)), perf_counter) for _ in range(ROUNDS)]
    shares = [100 * median(times) / every for every in (EPOCH_SECONDS, LONGEST_SECONDS)]
    benchmark.extra_info.update(save_seconds=times, megabytes=size_of(tree) / 1e6, shares_in_percent=shares)
    print(
        f"\n{name}: a state of {size_of(tree) / 1e6:.0f} MB is saved in {median(times):.2f} s (up to "
        f"{max(times):.2f} s), {shares[0]:.1f} % of the time if every {EPOCH_SECONDS:.0f} s, "
        f"{shares[1]:.1f} % if every {LONGEST_SECONDS:.0f} s"
    )
    benchmark.pedantic(lambda: states.save(tree, 0, next(step)), rounds=1)


def state_of(recipe: Recipe) -> Tree:
    """Return what is saved of a stage after a step: also the best weights so far for each read-out."""
    criterion, few = criterion_of(recipe), problem(2, 30)
    updater = updater_of(recipe, criterion)
    updater.step(lambda: criterion(few.batch, few.target))
    weights = criterion.state_dict()
    best = [{key: tensor.clone() for key, tensor in weights.items()} for _ in recipe.training.readouts]
    return {"weights": weights, "updater": updater.state_dict(), "best": best}
