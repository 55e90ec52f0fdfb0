"""Training steps, predictions and scores of our CG-DETR in turns with other implementations, equality first.

The others are the plain module of the tests and, where AMRBENCH_OUTSIDE names one, an implementation from
outside (see `implementations`).

Run: pytest benchmarks/bench_cgdetr.py --benchmark-enable -s (add -m quick for the smaller sizes)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.files.annotations import write_annotations
from amrbench.files.predictions import write_predictions
from benchmarks.drawn_predictions import drawn_predictions, drawn_truth
from benchmarks.floor import Floor, floor_of_prediction, floor_of_step
from benchmarks.implementations import (
    OTHERS,
    OURS,
    equal_losses,
    equal_metrics,
    equal_spans,
    offered,
)
from benchmarks.interleaved import Rounds, Work, interleaved, numerics_of_training
from benchmarks.problems import FULL, QUICK, problem, reference_weights

SIZES = [*(pytest.param(*size, marks=pytest.mark.quick) for size in QUICK), *FULL]
QUERIES = [pytest.param(1_000, marks=pytest.mark.quick), 100_000]


@pytest.fixture(params=OTHERS)
def name(request: pytest.FixtureRequest) -> str:
    """What ours is compared with."""
    return str(request.param)


@pytest.mark.parametrize(("batch", "frames"), SIZES)
def test_training_step(benchmark: BenchmarkFixture, name: str, batch: int, frames: int) -> None:
    other, given, weights = offered(name, "training_step"), problem(batch, frames), reference_weights()
    checked = equal_losses(other, given, weights)
    own, others = OURS.training_step(given, weights), other.training_step(given, weights)
    rounds = compared(benchmark, own, others, checked=checked, floor=floor_of_step(batch, frames))
    assert name != "plain" or rounds.least(1.0)


@pytest.mark.parametrize(("batch", "frames"), [pytest.param(1, 60, marks=pytest.mark.quick), *SIZES])
def test_prediction(benchmark: BenchmarkFixture, name: str, batch: int, frames: int) -> None:
    other, given, weights = offered(name, "prediction"), problem(batch, frames), reference_weights()
    own, others = OURS.prediction(given, weights), other.prediction(given, weights)
    floor, checked = floor_of_prediction(batch, frames), equal_spans(own(), others())
    rounds = compared(benchmark, own, others, checked=checked, floor=floor)
    assert name != "plain" or rounds.least(0.9)


@pytest.mark.parametrize("queries", QUERIES)
def test_scores_of_files(benchmark: BenchmarkFixture, name: str, tmp_path: Path, queries: int) -> None:
    """Ours scores the trivial baselines too."""
    other = offered(name, "evaluate")
    predictions, truth = tmp_path / "predictions.jsonl", tmp_path / "truth.jsonl"
    write_predictions(predictions, drawn_predictions(queries))
    write_annotations(truth, drawn_truth(queries))

    def own() -> Mapping[str, float]:
        return OURS.evaluate(predictions, truth)

    def others() -> Mapping[str, float]:
        return other.evaluate(predictions, truth)

    rounds = compared(benchmark, own, others, checked=equal_metrics(own(), others()))
    assert name != "plain" or rounds.least(1.0)


def compared(
    benchmark: BenchmarkFixture, own: Work, others: Work, *, checked: bool, floor: Floor | None = None
) -> Rounds:
    """Time both with one thread, and keep and print what was measured, beside the floor of ours."""
    rounds = interleaved(own, others)
    benchmark.extra_info.update(rounds.extra_info(), equality_checked=checked)
    print(f"\n{rounds.text()}{'' if checked else '; NOT CHECKED to compute the same'}")
    if floor:
        with numerics_of_training():
            least = min(floor.seconds() for _ in range(2))
        benchmark.extra_info["floor_seconds"] = least
        print(
            f"the floor is {1000 * least:,.1f} ms, our best round {min(rounds.fast) / least:.2f} times that"
        )
    benchmark.pedantic(own, rounds=1)
    return rounds
