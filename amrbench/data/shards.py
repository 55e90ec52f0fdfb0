"""Shards: the features of a few recordings or sentences, in a file that a worker process makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from typing_extensions import override

from amrbench.data.resample import resample
from amrbench.data.worker_pool import Progress, Report, WorkerPool, run_tasks
from amrbench.data.worker_status import report_part
from amrbench.errors import DataError
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.feature_file import FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import ConcatTable, InMemoryTable, write_feature_file
from amrbench.slots.data import Dataset, DatasetPart, Recording
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.types import Query, Rows

RECORDINGS_A_SHARD = 8
SENTENCES_A_SHARD = 256


@dataclass(frozen=True)
class Shard(ABC):
    """A part of the features of a split, in a file of its own."""

    file: Path
    header: FeatureHeader
    features: FeaturesPart

    @property
    @abstractmethod
    def size(self) -> int:
        """Return the number of recordings or sentences."""

    @abstractmethod
    def make(self) -> None:
        """Write the file."""

    def is_made(self) -> bool:
        """Whether the file is complete, undamaged and has the same header."""
        try:
            file = open_feature_file(self.file)
            file.verify()
        except DataError:
            return False
        return file.header == self.header


@dataclass(frozen=True)
class TextShard(Shard):
    """Some sentences."""

    sentences: tuple[str, ...]

    @property
    @override
    def size(self) -> int:
        return len(self.sentences)

    @override
    def make(self) -> None:
        backend = built(self.features)
        rows = backend.text(self.sentences)
        if len(rows) != len(self.sentences):
            raise DataError(
                f"encoder {backend.name!r} gave {len(rows)} results for {len(self.sentences)} sentences; "
                "it must give one for each."
            )
        text = InMemoryTable(self.sentences, tuple(rows))
        write_feature_file(self.file, self.header, audio=InMemoryTable(), text=text)


@dataclass(frozen=True)
class AudioShard(Shard):
    """Some recordings of a split; the queries about them are written to a second file."""

    dataset: DatasetPart
    split: str
    indices: Sequence[int]

    @property
    @override
    def size(self) -> int:
        return len(self.indices)

    @property
    def annotations(self) -> Path:
        """Return the file of the queries."""
        return self.file.with_suffix(".jsonl")

    def queries(self) -> list[Query]:
        """Return the queries about the recordings; the shard must be made."""
        return read_annotations(self.annotations) if self.annotations.stat().st_size else []

    @override
    def make(self) -> None:
        AudioShards((self,)).make()


@dataclass(frozen=True)
class AudioShards:
    """Shards of the same recordings for several encoders; a recording is rendered or read once for all."""

    shards: tuple[AudioShard, ...]

    @property
    def size(self) -> int:
        """Return the number of recordings, counted for each encoder."""
        return sum(shard.size for shard in self.shards)

    def is_made(self) -> bool:
        """Whether all files are complete."""
        return all(shard.is_made() for shard in self.shards)

    def make(self) -> None:
        """Write the files."""
        first, encoders = self.shards[0], [built(shard.features) for shard in self.shards]
        dataset = built(first.dataset)
        vids: list[str] = []
        queries: list[Query] = []
        rows: list[list[Rows]] = [[] for _ in encoders]
        for done, index in enumerate(first.indices):
            report_part(f"recording {index + 1}", done * len(encoders))
            recording = dataset.recording(first.split, index)
            report_part(f"recording {recording.vid!r}", done * len(encoders))
            vids.append(recording.vid)
            for encoder, encoded in zip(encoders, rows, strict=True):
                encoded.append(audio_rows(recording, encoder, first.header.source))
            queries += own_queries(recording)
        for shard, encoded in zip(self.shards, rows, strict=True):
            write_annotations(shard.annotations, queries)
            audio = InMemoryTable(tuple(vids), tuple(encoded))
            write_feature_file(shard.file, shard.header, audio=audio, text=InMemoryTable())


def own_queries(recording: Recording) -> tuple[Query, ...]:
    """Return the queries of a recording, or raise DataError if one of them is about another."""
    for query in recording.queries:
        if query.vid != recording.vid:
            raise DataError(
                f"query {query.qid!r} is about recording {query.vid!r} but comes with "
                f"{recording.vid!r}; the data set must give each recording its own queries."
            )
    return tuple(recording.queries)


def shard_ranges(count: int, length: int) -> Iterator[range]:
    """Cut the numbers from 0 to count - 1 into ranges of at most this length."""
    for start in range(0, count, length):
        yield range(start, min(start + length, count))


def header_for(source: str, backend: FeatureBackend, *, half: bool = False) -> FeatureHeader:
    """Return the header of an encoder's feature file; `source` says what is encoded."""
    return FeatureHeader(
        source=source,
        backend=backend.name,
        fingerprint=backend.fingerprint(),
        hop=float(backend.hop),
        audio_width=backend.audio_width,
        text_width=backend.text_width,
        half=half,
    )


def run_shards(pool: WorkerPool, shards: Sequence[Shard | AudioShards], *, what: str, report: Report) -> None:
    """Make the shards that do not exist yet, in the workers of a pool."""
    missing = [shard for shard in shards if not shard.is_made()]
    total = sum(shard.size for shard in shards)
    progress = Progress(what, total - sum(shard.size for shard in missing), total)
    run_tasks(pool, make_shard, missing, progress=progress, report=report)


def make_shard(shard: Shard | AudioShards) -> int:
    """Make a shard, in a worker process, and return its size."""
    shard.make()
    return shard.size


def audio_of(shards: Sequence[Shard]) -> ConcatTable:
    """Return the rows of all recordings; the shards must be made."""
    return ConcatTable(tuple(open_feature_file(shard.file).audio for shard in shards))


def text_of(shards: Sequence[TextShard]) -> ConcatTable:
    """Return the rows of all sentences; the shards must be made."""
    return ConcatTable(tuple(open_feature_file(shard.file).text for shard in shards))


def fills_a_row(samples: int, backend: FeatureBackend) -> bool:
    """Whether this many samples, at the rate of an encoder, are enough for one feature row."""
    # Hops such as 0.1 s have no exact binary value, so the product may be a little too large.
    return samples > backend.hop * backend.rate - 1e-6


_built: dict[str, Any] = {}


@overload
def built(part: DatasetPart) -> Dataset: ...
@overload
def built(part: FeaturesPart) -> FeatureBackend: ...
def built(part: DatasetPart | FeaturesPart) -> Any:
    """Return the data set or encoder of a part, which is built once in each process.

    A worker makes many shards of one data set with one encoder, and both may be slow to build.
    """
    key = _key(part)
    if key not in _built:
        _built[key] = part.build()
    return _built[key]


def forget_built(part: DatasetPart) -> None:
    """Build a data set anew when it is needed again: in a process that goes on, its files may change."""
    _built.pop(_key(part), None)


def _key(part: DatasetPart | FeaturesPart) -> str:
    return f"{type(part)} {part!r}"


def audio_rows(recording: Recording, backend: FeatureBackend, source: str) -> Rows:
    """Return the feature rows of a recording.

    Raises:
        DataError: The audio is not finite, not one channel, or too short for a row.
    """
    waveform = np.asarray(recording.waveform, np.float32)
    if waveform.ndim != 1 or not np.isfinite(waveform).all():
        raise DataError(
            f"recording {recording.vid!r}: the audio has shape {waveform.shape} or is not finite; "
            "one finite channel (samples,) is needed."
        )
    samples = resample(waveform, recording.rate, backend.rate)
    if not fills_a_row(len(samples), backend):
        raise DataError(
            f"{source}: recording {recording.vid!r} lasts {len(waveform) / recording.rate:.2f} s, and the "
            f"encoder {backend.name!r} gives a row for each {backend.hop:g} s. Leave out this "
            "recording and the queries about it."
        )
    return backend.audio(samples)
