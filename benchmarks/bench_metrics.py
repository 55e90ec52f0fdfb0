"""How long scoring takes, how it scales, and how much faster it is than the plain loop.

Run: pytest benchmarks/bench_metrics.py --benchmark-enable
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from statistics import median
from time import process_time
from unittest import mock

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.evaluation.baselines import baseline_predictions
from amrbench.evaluation.score_files import score_files
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.predictions import read_predictions, write_predictions
from amrbench.functional.metrics import Scores, score
from amrbench.types import Moments, Query
from tests.oracle import metrics_by_hand

CASTELLA_TEST = 1347
ROUNDS = 9


@cache
def truth(queries: int) -> list[Query]:
    """Recordings of 300 s with one to 24 windows, three on average as in CASTELLA."""
    random = np.random.default_rng(queries)
    asked = []
    for number in range(queries):
        starts = np.sort(random.uniform(0, 280, min(24, random.geometric(1 / 3)))).round()
        ends = starts + random.exponential(10, len(starts)).round() + 1
        windows = tuple(zip(starts.tolist(), ends.tolist(), strict=True))
        asked.append(Query(f"q{number}", "left out", f"v{number}", 300.0, windows))
    return asked


@cache
def predictions(queries: int) -> list[Moments]:
    """Ten windows with scores for each query, one of them near an annotated one."""
    random = np.random.default_rng(queries + 1)
    moments = []
    for query in truth(queries):
        starts = random.uniform(0, 280, 10)
        windows = np.stack([starts, starts + random.exponential(15, 10)], axis=1)
        windows[random.integers(10)] = np.sort(query.windows[0] + random.exponential(1, 2))
        scores = np.sort(random.random(10))[::-1]
        moments.append(Moments(query.qid, query.vid, windows.round(4), scores.round(4)))
    return moments


@pytest.mark.parametrize("queries", [CASTELLA_TEST, 1_000, 10_000, 100_000])
def test_score_from_objects(benchmark: BenchmarkFixture, queries: int) -> None:
    inputs = (predictions(queries), truth(queries))
    scores = benchmark.pedantic(score, args=inputs, rounds=5, warmup_rounds=1)
    assert scores.queries == queries


@pytest.mark.parametrize("queries", [CASTELLA_TEST, 10_000, 100_000])
def test_score_from_files(benchmark: BenchmarkFixture, tmp_path: Path, queries: int) -> None:
    write_predictions(tmp_path / "predictions.jsonl", predictions(queries))
    write_annotations(tmp_path / "truth.jsonl", truth(queries))
    files = (tmp_path / "predictions.jsonl", tmp_path / "truth.jsonl")
    report = benchmark.pedantic(score_files, args=files, rounds=3, warmup_rounds=1)
    assert report.scores.queries == queries


def test_files_against_the_plain_way(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """The plain way reads line by line with the standard library, and scores each baseline like a file."""
    files = (tmp_path / "predictions.jsonl", tmp_path / "truth.jsonl")
    write_predictions(files[0], predictions(100_000))
    write_annotations(files[1], truth(100_000))

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
    pairs = [(seconds(fast), seconds(plain)) for _ in range(5)]
    benchmark.extra_info["ratio"] = median(slow / quick for quick, slow in pairs)
    print(f"\nplain / fast = {benchmark.extra_info['ratio']:.1f} of {pairs}")
    benchmark.pedantic(fast, rounds=3)


def test_ratio_to_the_plain_loop(benchmark: BenchmarkFixture) -> None:
    """Alternate both in one process and compare processor time; the ratio hardly depends on the machine."""
    inputs = (predictions(CASTELLA_TEST), truth(CASTELLA_TEST))

    def fast() -> Scores:
        return score(*inputs)

    def plain() -> dict[str, float]:
        return metrics_by_hand.metrics(*inputs)

    by_hand = plain()
    assert fast().metrics == pytest.approx({name: by_hand[name] for name in fast().metrics}, abs=1e-9)
    pairs = [(seconds(fast), seconds(plain)) for _ in range(ROUNDS)]
    benchmark.extra_info["ratio"] = median(slow / quick for quick, slow in pairs)
    benchmark.extra_info["fast_ms"] = 1000 * median(quick for quick, _ in pairs)
    benchmark.extra_info["plain_ms"] = 1000 * median(slow for _, slow in pairs)
    print(f"\nplain / fast = {benchmark.extra_info['ratio']:.1f}")
    benchmark(fast)


def seconds(work: Callable[[], object]) -> float:
    start = process_time()
    work()
    return process_time() - start
