"""How long scoring takes, how it scales, and how much faster it is than the plain loop.

Run: pytest benchmarks/bench_metrics.py --benchmark-enable
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.evaluation.baselines import baseline_predictions
from amrbench.evaluation.score_files import score_files
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.predictions import read_predictions, write_predictions
from amrbench.functional.metrics import Scores, score
from benchmarks.drawn_predictions import drawn_predictions, drawn_truth
from benchmarks.interleaved import interleaved
from tests.oracle import metrics_by_hand

CASTELLA_TEST = 1347


@pytest.mark.parametrize("queries", [CASTELLA_TEST, 1_000, 10_000, 100_000])
def test_score_from_objects(benchmark: BenchmarkFixture, queries: int) -> None:
    inputs = (drawn_predictions(queries), drawn_truth(queries))
    scores = benchmark.pedantic(score, args=inputs, rounds=5, warmup_rounds=1)
    assert scores.queries == queries


@pytest.mark.parametrize("queries", [CASTELLA_TEST, 10_000, 100_000])
def test_score_from_files(benchmark: BenchmarkFixture, tmp_path: Path, queries: int) -> None:
    write_predictions(tmp_path / "predictions.jsonl", drawn_predictions(queries))
    write_annotations(tmp_path / "truth.jsonl", drawn_truth(queries))
    files = (tmp_path / "predictions.jsonl", tmp_path / "truth.jsonl")
    report = benchmark.pedantic(score_files, args=files, rounds=3, warmup_rounds=1)
    assert report.scores.queries == queries


def test_files_against_the_plain_way(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """The plain way reads line by line with the standard library, and scores each baseline like a file."""
    files = (tmp_path / "predictions.jsonl", tmp_path / "truth.jsonl")
    write_predictions(files[0], drawn_predictions(100_000))
    write_annotations(files[1], drawn_truth(100_000))

    def fast() -> Mapping[str, Scores]:
        report = score_files(*files)
        return {"": report.scores, **report.baselines}

    def plain() -> Mapping[str, Scores]:
        with (
            mock.patch("amrbench.files.annotations.read_typed", return_value=None),
            mock.patch("amrbench.files.predictions.read_typed", return_value=None),
        ):
            predicted, annotated = read_predictions(files[0]), read_annotations(files[1])
        lists = {"": predicted, **baseline_predictions(annotated)}
        return {name: score(moments, annotated) for name, moments in lists.items()}

    assert fast() == plain()
    rounds = interleaved(fast, plain, 5)
    benchmark.extra_info.update(rounds.extra_info())
    print(f"\n{rounds.text()}")
    benchmark.pedantic(fast, rounds=3)


@pytest.mark.quick
def test_ratio_to_the_plain_loop(benchmark: BenchmarkFixture) -> None:
    inputs = (drawn_predictions(CASTELLA_TEST), drawn_truth(CASTELLA_TEST))

    def fast() -> Scores:
        return score(*inputs)

    def plain() -> dict[str, float]:
        return metrics_by_hand.metrics(*inputs)

    by_hand = plain()
    assert fast().metrics == pytest.approx({name: by_hand[name] for name in fast().metrics}, abs=1e-9)
    rounds = interleaved(fast, plain)
    benchmark.extra_info.update(rounds.extra_info())
    print(f"\n{rounds.text()}")
    benchmark(fast)
