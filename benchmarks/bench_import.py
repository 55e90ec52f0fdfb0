"""Time of importing published feature files, and of reading the result against reading the files themselves.

Run: pytest benchmarks/bench_import.py --benchmark-enable (2,000 files), or, at the size of Clotho-Moment,
python -m benchmarks.bench_import --full (51,240 files, 5.3 GB and as much again for the result).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.data.local_dataset import DatasetFolder, PublishedSplit
from amrbench.data.worker_pool import no_report
from amrbench.discovery import load_registry
from amrbench.files.annotations import write_annotations
from amrbench.files.feature_file import open_feature_file
from amrbench.files.npz_features import AUDIO_KEY, TEXT_KEY, read_rows
from amrbench.slots.features import FeaturesPart
from amrbench.tools.import_features import import_features
from amrbench.types import Query
from benchmarks.interleaved import Rounds, interleaved

SECONDS, TOKENS, WIDTH = 60, 12, 768
QUICK, FULL = 2_000, 51_240
READ_BACK = 1_000
ROUNDS = 5


@dataclass(frozen=True)
class Measured:
    """Time and memory of an import, and how much faster its result is read."""

    files: int
    seconds: float
    files_a_second: float
    megabytes_a_second: float
    memory_mib: float
    """Peak memory of the process without mapped files, whose pages the system can reclaim."""
    times_npz: float
    """How many times faster rows are read from the feature file than from .npz files."""


class MemorySampler:
    """Reads the memory of this process ten times a second and keeps the peak."""

    peak = 0.0

    def __enter__(self) -> MemorySampler:
        self.stop = Event()
        self.thread = Thread(target=self._sample)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _sample(self) -> None:
        while not self.stop.wait(0.1):
            status = Path("/proc/self/status").read_text()
            self.peak = max(self.peak, int(status.split("RssAnon:")[1].split()[0]) / 1024)


def publish(folder: Path, recordings: int, queries: int) -> list[Query]:
    """Write feature files of the published shapes; return the queries that they belong to."""
    rng = np.random.default_rng(0)
    for kind in ("clap", "clap_text"):
        (folder / kind).mkdir(parents=True)
    for number in range(recordings):
        rows = rng.standard_normal((SECONDS, WIDTH), np.float32)
        np.savez(folder / "clap" / f"v{number}.npz", **{AUDIO_KEY: rows})
    annotations = [
        Query(str(n), f"text {n}", f"v{n % recordings}", float(SECONDS), ((0.0, 5.0),))
        for n in range(queries)
    ]
    for query in annotations:
        rows = rng.standard_normal((TOKENS, WIDTH), np.float32)
        np.savez(folder / "clap_text" / f"qid{query.qid}.npz", **{TEXT_KEY: rows})
    return annotations


def measure(folder: Path, files: int) -> Measured:
    """Write published files, import them and read both."""
    recordings = round(files * 0.45)  # Data sets have a few more queries than recordings.
    queries = publish(folder / "published", recordings, files - recordings)
    dataset = DatasetFolder("bench", folder / "dataset", {"train": PublishedSplit("train.jsonl")})
    dataset.root.mkdir()
    write_annotations(dataset.annotations("train"), queries)
    encoder = FeaturesPart.model_validate("clap", context=load_registry())
    with MemorySampler() as memory:
        result = import_features(dataset, encoder, [folder / "published"], report=no_report)
    reading = reading_times(folder / "published" / "clap", dataset.feature_file(encoder), recordings)
    return Measured(
        files=result.read,
        seconds=round(result.seconds, 1),
        files_a_second=round(result.read / result.seconds),
        megabytes_a_second=round(result.size / result.seconds / 1e6),
        memory_mib=round(memory.peak),
        times_npz=round(reading.ratio, 1),
    )


def reading_times(published: Path, file: Path, recordings: int) -> Rounds:
    """Read some recordings from the feature file and from .npz files, in turns."""
    names = [f"v{n}" for n in np.random.default_rng(1).permutation(recordings)[:READ_BACK]]
    table = open_feature_file(file).audio

    def from_table() -> float:
        return sum(float(np.array(table.rows(name))[-1, 0]) for name in names)

    def from_npz() -> float:
        return sum(float(read_rows(published / f"{name}.npz", AUDIO_KEY, WIDTH)[-1, 0]) for name in names)

    assert from_table() == from_npz()
    return interleaved(from_table, from_npz, ROUNDS)


def test_import(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    measured = benchmark.pedantic(lambda: measure(tmp_path, QUICK), rounds=1)
    benchmark.extra_info.update(vars(measured))
    assert measured.files == QUICK
    assert measured.times_npz >= 8


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} files instead of {QUICK:,}")
    full = parser.parse_args().full
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(vars(measure(Path(folder), FULL if full else QUICK)), indent=1))


if __name__ == "__main__":
    main()
