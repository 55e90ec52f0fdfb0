"""Import of published feature files, and reading them back against one file for each recording.

Run: pytest benchmarks/bench_import.py --benchmark-enable (2,000 files), or, at the size of Clotho-Moment,
python -m benchmarks.bench_import --full (51,240 files, 5.3 GB and as much again for the result).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import perf_counter

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from amrbench.data.local_dataset import DatasetFolder, PublishedSplit
from amrbench.discovery import load_registry
from amrbench.files.annotations import write_annotations
from amrbench.files.feature_file import open_feature_file
from amrbench.files.npz_features import AUDIO_KEY, TEXT_KEY, read_rows
from amrbench.slots.features import FeaturesPart
from amrbench.tools.import_features import import_features
from amrbench.types import Query

SECONDS, TOKENS, WIDTH = 60, 12, 768
QUICK, FULL = 2_000, 51_240
READ_BACK = 1_000
ROUNDS = 5


@dataclass(frozen=True)
class Measured:
    """What an import and reading back took."""

    files: int
    seconds: float
    files_a_second: float
    megabytes_a_second: float
    memory_mib: float
    """Largest memory of the process without mapped files, whose pages the system takes back."""
    times_npz: float
    """How much faster the rows of a recording are read from the feature file than from its own, both warm."""


class Sampled:
    """Looks at the memory of this process ten times a second."""

    peak = 0.0

    def __enter__(self) -> Sampled:
        self.over = Event()
        self.thread = Thread(target=self._look)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _look(self) -> None:
        while not self.over.wait(0.1):
            status = Path("/proc/self/status").read_text()
            self.peak = max(self.peak, int(status.split("RssAnon:")[1].split()[0]) / 1024)


def publish(folder: Path, recordings: int, queries: int) -> list[Query]:
    """Write files of the published shapes; return the queries that ask for them."""
    rng = np.random.default_rng(0)
    for kind in ("clap", "clap_text"):
        (folder / kind).mkdir(parents=True)
    for number in range(recordings):
        rows = rng.standard_normal((SECONDS, WIDTH), np.float32)
        np.savez(folder / "clap" / f"v{number}.npz", **{AUDIO_KEY: rows})
    found = [
        Query(str(n), f"text {n}", f"v{n % recordings}", float(SECONDS), ((0.0, 5.0),))
        for n in range(queries)
    ]
    for query in found:
        rows = rng.standard_normal((TOKENS, WIDTH), np.float32)
        np.savez(folder / "clap_text" / f"qid{query.qid}.npz", **{TEXT_KEY: rows})
    return found


def measure(folder: Path, files: int) -> Measured:
    """Publish, import and read back; there are a few more queries than recordings."""
    recordings = round(files * 0.45)
    queries = publish(folder / "published", recordings, files - recordings)
    home = DatasetFolder("bench", folder / "home", {"train": PublishedSplit("train.jsonl")})
    home.root.mkdir()
    write_annotations(home.annotations("train"), queries)
    encoder = FeaturesPart.model_validate("clap", context=load_registry())
    with Sampled() as memory:
        done = import_features(home, encoder, [folder / "published"], tell=lambda _: None)
    pairs = list(read_back(folder / "published" / "clap", home.store(encoder), recordings))
    return Measured(
        done.read,
        round(done.seconds, 1),
        round(done.read / done.seconds),
        round(done.size / done.seconds / 1e6),
        round(memory.peak),
        round(median(npz / ours for npz, ours in pairs), 1),
    )


def read_back(published: Path, store: Path, recordings: int) -> Iterator[tuple[float, float]]:
    """Yield seconds of reading recordings from their own files and from the feature file, in turns."""
    names = [f"v{n}" for n in np.random.default_rng(1).permutation(recordings)[:READ_BACK]]
    table = open_feature_file(store).audio
    for turn in range(ROUNDS + 1):
        start = perf_counter()
        one = sum(float(read_rows(published / f"{name}.npz", AUDIO_KEY, WIDTH)[-1, 0]) for name in names)
        between = perf_counter()
        other = sum(float(np.array(table.rows(name))[-1, 0]) for name in names)
        end = perf_counter()
        assert one == other
        if turn:  # The first turn warms the page cache.
            yield between - start, end - between


def test_import(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    found = benchmark.pedantic(lambda: measure(tmp_path, QUICK), rounds=1)
    benchmark.extra_info.update(vars(found))
    assert found.files == QUICK
    assert found.times_npz >= 8


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} files instead of {QUICK:,}")
    full = parser.parse_args().full
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(vars(measure(Path(folder), FULL if full else QUICK)), indent=1))


if __name__ == "__main__":
    main()
