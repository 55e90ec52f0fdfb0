"""A training step with two threads in turns with one, by the clock on the wall.

Run on a machine without other work: pytest benchmarks/bench_threads.py --benchmark-enable -s
"""

from __future__ import annotations

from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.implementations import OURS
from benchmarks.interleaved import in_turns, numerics_of_training, seconds
from benchmarks.problems import FULL, problem, reference_weights


@pytest.mark.parametrize(("batch", "frames"), FULL)
def test_training_step(benchmark: BenchmarkFixture, batch: int, frames: int) -> None:
    step = OURS.training_step(problem(batch, frames), reference_weights())

    def with_threads(count: int) -> float:
        with numerics_of_training(count):
            return seconds(step, perf_counter)

    with_threads(1)
    rounds = in_turns(lambda: with_threads(2), lambda: with_threads(1), clock="wall")
    benchmark.extra_info.update(rounds.extra_info())
    print(f"\ntwo threads against one: {rounds.text()}")
    benchmark.pedantic(step, rounds=1)
