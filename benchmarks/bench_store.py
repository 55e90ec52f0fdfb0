"""How fast batches are made from a feature file, compared with one .npz file for each recording and query.

512 queries about 205 recordings of 60 to 300 rows of 768 numbers, as in CASTELLA, all in the page cache.
The plain way reads, normalises and pads each sample at each visit, as the data set of the reference does.

Run: pytest benchmarks/bench_store.py --benchmark-enable -s
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.data.feature_dataset import FeatureDataset, load_dataset
from amrbench.data.feature_source import EncoderFeatures, FeatureSource
from amrbench.files.feature_file import FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import InMemoryTable, write_feature_file
from amrbench.slots.model import Limits
from amrbench.types import Query
from benchmarks.interleaved import interleaved

QUERIES, RECORDINGS, WIDTH, BATCH = 512, 205, 768, 32
LIMITS = Limits(frames=300, words=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the same features both ways."""
    folder, random = tmp_path_factory.mktemp("features"), np.random.default_rng(0)
    audio = {f"v{number}": drawn(random, int(random.integers(60, 301))) for number in range(RECORDINGS)}
    text = {f"sentence {number}": drawn(random, int(random.integers(5, 20))) for number in range(QUERIES)}
    for name, rows in {**audio, **text}.items():
        np.savez(folder / f"{name}.npz", features=rows)
    header = FeatureHeader("drawn", "drawn", "0", 1.0, WIDTH, WIDTH)
    tables = [InMemoryTable(tuple(items), tuple(items.values())) for items in (audio, text)]
    write_feature_file(folder / "features.h5", header, audio=tables[0], text=tables[1])
    return folder


def drawn(random: np.random.Generator, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return random.normal(size=(count, WIDTH)).astype(np.float32)


def feature_source(folder: Path) -> FeatureSource:
    file = open_feature_file(folder / "features.h5")
    lengths = dict(zip(file.audio.ids, file.audio.lengths.tolist(), strict=True))
    queries = [
        Query(f"q{number}", f"sentence {number}", vid, float(lengths[vid]), ())
        for number, vid in enumerate(f"v{number % RECORDINGS}" for number in range(QUERIES))
    ]
    return FeatureSource(tuple(queries), (EncoderFeatures.of_file(file, "drawn"),))


@pytest.fixture(scope="module")
def dataset(folder: Path) -> FeatureDataset:
    return load_dataset([feature_source(folder)], LIMITS)


def batches() -> list[list[int]]:
    """Return the indices of the queries of each batch."""
    order = np.random.default_rng(1).permutation(QUERIES)
    return [order[start : start + BATCH].tolist() for start in range(0, QUERIES, BATCH)]


def from_memory(dataset: FeatureDataset) -> Iterator[torch.Tensor]:
    return (dataset.batch(indices).audio for indices in batches())


def from_files(folder: Path) -> Iterator[torch.Tensor]:
    """Make the same batches sample by sample."""
    for indices in batches():
        audio = [read(folder / f"v{index % RECORDINGS}.npz", LIMITS.frames) for index in indices]
        text = [read(folder / f"sentence {index}.npz", LIMITS.words) for index in indices]
        torch.nn.utils.rnn.pad_sequence(text, batch_first=True)
        yield torch.nn.utils.rnn.pad_sequence(audio, batch_first=True)


def read(path: Path, limit: int) -> torch.Tensor:
    with np.load(path) as archive:
        rows = archive["features"][:limit]
    return torch.from_numpy(rows / (np.linalg.norm(rows, axis=-1, keepdims=True) + 1e-5).astype(np.float32))


def exhaust(iterator: Iterator[object]) -> None:
    for _ in iterator:
        pass


@pytest.mark.quick
def test_an_epoch_of_batches(benchmark: BenchmarkFixture, folder: Path, dataset: FeatureDataset) -> None:
    for fast, plain in zip(from_memory(dataset), from_files(folder), strict=True):
        torch.testing.assert_close(fast, plain)
    rounds = interleaved(lambda: exhaust(from_memory(dataset)), lambda: exhaust(from_files(folder)), 5)
    benchmark.extra_info.update(rounds.extra_info(), samples_a_second=QUERIES / median(rounds.fast))
    print(f"\n{QUERIES / median(rounds.fast):,.0f} samples/s; {rounds.text()}")
    benchmark.pedantic(lambda: exhaust(from_memory(dataset)), rounds=1)


def test_opening_and_checking(benchmark: BenchmarkFixture, folder: Path) -> None:
    loaded = benchmark.pedantic(lambda: load_dataset([feature_source(folder)], LIMITS), rounds=5)
    size = (folder / "features.h5").stat().st_size
    print(
        f"\n{size / 2**20:.0f} MiB opened, checked, cut and normalised in {benchmark.stats['median']:.2f} s"
    )
    assert len(loaded) == QUERIES


def test_opening_alone(benchmark: BenchmarkFixture, folder: Path) -> None:
    file = benchmark(open_feature_file, folder / "features.h5")
    assert len(file.audio.ids) == RECORDINGS
