"""How fast batches with their targets are made, compared with one query after another.

512 queries about 205 recordings of 60 to 300 rows, or of 60 rows, of 768 numbers; one to 24 windows each.

Run: pytest benchmarks/bench_batches.py --benchmark-enable -s
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.data.feature_dataset import FeatureDataset, visit_rngs
from amrbench.types import Batch, Query, Target
from amrbench_plugins.cgdetr.moments import MomentTargets
from benchmarks.interleaved import interleaved
from tests.oracle import batches_by_hand

QUERIES, RECORDINGS, WIDTH, BATCH = 512, 205, 768, 32
LABELS = MomentTargets().build()

Made = tuple[Batch, Target]


def drawn_dataset(shortest: int, longest: int) -> FeatureDataset:
    random = np.random.default_rng(0)
    lengths = random.integers(shortest, longest + 1, RECORDINGS)
    queries = []
    for number in range(QUERIES):
        seconds = float(lengths[number % RECORDINGS])
        starts = np.sort(random.uniform(0, seconds - 2, min(24, random.geometric(1 / 3)))).round()
        ends = np.minimum(starts + random.exponential(10, len(starts)).round() + 1, seconds)
        windows = tuple(zip(starts.tolist(), ends.tolist(), strict=True))
        queries.append(Query(f"q{number}", f"{number}", f"v{number % RECORDINGS}", seconds, windows))
    return FeatureDataset(
        queries=tuple(queries),
        audio=[drawn_rows(random, int(length)) for length in lengths],
        text=[drawn_rows(random, int(random.integers(5, 20))) for _ in range(QUERIES)],
        recordings=np.arange(QUERIES) % RECORDINGS,
        sentences=np.arange(QUERIES),
        cut=np.zeros(RECORDINGS, np.bool_),
        hop=1.0,
    )


def drawn_rows(random: np.random.Generator, count: int) -> torch.Tensor:
    return torch.from_numpy(random.normal(size=(count, WIDTH)).astype(np.float32))


def all_batches(make: Callable[[list[int]], Made]) -> None:
    order = np.random.default_rng(1).permutation(QUERIES)
    for first in range(0, QUERIES, BATCH):
        make(order[first : first + BATCH].tolist())


@pytest.mark.parametrize(
    ("shortest", "longest"), [(60, 60), pytest.param(60, 300, marks=pytest.mark.quick), (300, 300)]
)
def test_batches_with_targets(benchmark: BenchmarkFixture, shortest: int, longest: int) -> None:
    dataset = drawn_dataset(shortest, longest)

    def fast(indices: list[int]) -> Made:
        return dataset.training_batch(indices, labels=LABELS, augments=[], rng_of=visit_rngs(0, 0))

    def plain(indices: list[int]) -> Made:
        return batches_by_hand.training_batch(dataset, indices, labels=LABELS)

    for one, two in zip(fast(list(range(BATCH))), plain(list(range(BATCH))), strict=True):
        assert all(torch.equal(getattr(one, name), getattr(two, name)) for name in vars(two))
    rounds = interleaved(partial(all_batches, fast), partial(all_batches, plain))
    milliseconds = 1000 * BATCH / QUERIES * median(rounds.fast)
    benchmark.extra_info.update(rounds.extra_info(), ms_a_batch=milliseconds)
    print(f"\n{milliseconds:.2f} ms a batch; all: {rounds.text()}")
    benchmark(fast, list(range(BATCH)))
