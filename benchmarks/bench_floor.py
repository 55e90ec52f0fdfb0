"""Training steps and predictions as multiples of their floor, with one thread.

Run: pytest benchmarks/bench_floor.py --benchmark-enable -s (add -m quick for the smaller sizes)
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.floor import Floor, calibration, floor_of_prediction, floor_of_step
from benchmarks.implementations import OURS
from benchmarks.interleaved import Work, in_turns, numerics_of_training, seconds
from benchmarks.problems import FULL, QUICK, problem, reference_weights

ROUNDS = 5
SIZES = [*(pytest.param(*size, marks=pytest.mark.quick) for size in QUICK), *FULL]


@pytest.fixture(scope="module")
def machine() -> dict[str, float]:
    """What one thread reaches in this run."""
    with numerics_of_training():
        return calibration()


@pytest.mark.parametrize(("batch", "frames"), SIZES)
def test_training_step(
    benchmark: BenchmarkFixture, machine: dict[str, float], batch: int, frames: int
) -> None:
    step = OURS.training_step(problem(batch, frames), reference_weights())
    compared(benchmark, machine, step, floor_of_step(batch, frames))


@pytest.mark.parametrize(("batch", "frames"), SIZES)
def test_prediction(benchmark: BenchmarkFixture, machine: dict[str, float], batch: int, frames: int) -> None:
    prediction = OURS.prediction(problem(batch, frames), reference_weights())
    compared(benchmark, machine, prediction, floor_of_prediction(batch, frames))


def compared(benchmark: BenchmarkFixture, machine: dict[str, float], work: Work, floor: Floor) -> None:
    with numerics_of_training():
        work()
        rounds = in_turns(floor.seconds, lambda: seconds(work), ROUNDS)
        new = in_turns(floor.seconds_with_new_results, lambda: seconds(work), ROUNDS)
    rates = [floor.flops / each / 1e9 for each in rounds.fast]
    infos = {"floor_gflop": floor.flops / 1e9, "new_results": new.extra_info(), "machine": machine}
    benchmark.extra_info.update(rounds.extra_info(), **infos)
    print(
        f"\nfloor {rounds.text()}; {floor.flops / 1e9:.1f} GFLOP at {max(rates):.0f} GFLOP/s; this machine: "
        f"{machine['gemm_gflop_a_second']:.0f} GFLOP/s in one large product, "
        f"copies {machine['copy_gb_a_second']:.1f} GB/s\nfloor with new results {new.text()}"
    )
    benchmark.pedantic(work, rounds=1)
