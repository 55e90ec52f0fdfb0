"""The work of one worker process: the features of a few recordings or sentences, in one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amrbench.annotations import Query, read_annotations, write_annotations
from amrbench.data.audio import resample
from amrbench.errors import DataError
from amrbench.files.store import Header, Rows, open_store
from amrbench.files.store_writer import Items, write_store
from amrbench.part import Part
from amrbench.slots import Backend, Dataset, DatasetPart, FeaturesPart, Recording

RECORDINGS_A_SHARD = 8
SENTENCES_A_SHARD = 256


@dataclass(frozen=True)
class TextShard:
    """Some sentences."""

    file: Path
    header: Header
    features: FeaturesPart
    sentences: tuple[str, ...]

    @property
    def size(self) -> int:
        """Return the number of sentences."""
        return len(self.sentences)


@dataclass(frozen=True)
class AudioShard:
    """Some recordings of a split, and the queries about them beside the file."""

    file: Path
    header: Header
    features: FeaturesPart
    dataset: DatasetPart
    split: str
    indices: range

    @property
    def size(self) -> int:
        """Return the number of recordings."""
        return len(self.indices)

    @property
    def queries(self) -> Path:
        """Return the file of the queries."""
        return self.file.with_suffix(".jsonl")


Shard = AudioShard | TextShard


def is_made(shard: Shard) -> bool:
    """Whether a shard lies there whole; a damaged one is made again."""
    try:
        store = open_store(shard.file)
        store.verify()
    except DataError:
        return False
    return store.header == shard.header


def queries_of(shard: AudioShard) -> list[Query]:
    """Return the queries about the recordings of a shard."""
    return read_annotations(shard.queries) if shard.queries.stat().st_size else []


def fills_a_row(samples: int, backend: Backend) -> bool:
    """Whether so many samples, at the rate of an encoder, are enough for a row of features."""
    # Hops that are no binary fractions: a millionth of a sample may be lacking.
    return samples > backend.hop * backend.rate - 1e-6


def make(shard: Shard) -> int:
    """Make a shard and return its size; meant for a worker process."""
    if isinstance(shard, AudioShard):
        _make_audio(shard)
    else:
        _make_text(shard)
    return shard.size


def named(part: Part) -> str:
    """Return a part and the options that it does not have by default as one line."""
    fields = type(part).model_fields
    changed = [
        name for name in fields if getattr(part, name) != fields[name].get_default(call_default_factory=True)
    ]
    options = part.model_dump(mode="json")
    return " ".join([part.use, *(f"{name}={options[name]}" for name in changed)])


# A worker makes many shards of one data set with one encoder, and both may be slow to set up.
_datasets: dict[str, Dataset] = {}
_backends: dict[str, Backend] = {}


def dataset_of(part: DatasetPart) -> Dataset:
    """Return a data set, the same one each time that this process asks for it."""
    key = f"{type(part)} {named(part)}"
    if key not in _datasets:
        _datasets[key] = part.build()
    return _datasets[key]


def _backend(part: FeaturesPart) -> Backend:
    key = f"{type(part)} {named(part)}"
    if key not in _backends:
        _backends[key] = part.build()
    return _backends[key]


def _make_audio(shard: AudioShard) -> None:
    dataset, backend = dataset_of(shard.dataset), _backend(shard.features)
    ids, rows, queries = [], [], []
    for index in shard.indices:
        recording = dataset.recording(shard.split, index)
        ids.append(recording.vid)
        rows.append(_audio_rows(recording, backend, shard.header.source))
        queries += _checked_queries(recording)
    write_annotations(shard.queries, queries)
    write_store(shard.file, shard.header, audio=Items(tuple(ids), tuple(rows)), text=Items())


def _make_text(shard: TextShard) -> None:
    backend = _backend(shard.features)
    rows = backend.text(shard.sentences)
    if len(rows) != len(shard.sentences):
        raise DataError(
            f"encoder {backend.name!r} gave {len(rows)} results for {len(shard.sentences)} sentences; "
            "it must give one for each."
        )
    write_store(shard.file, shard.header, audio=Items(), text=Items(shard.sentences, tuple(rows)))


def _audio_rows(recording: Recording, backend: Backend, source: str) -> Rows:
    waveform = np.asarray(recording.waveform, np.float32)
    if waveform.ndim != 1 or not np.isfinite(waveform).all():
        raise DataError(
            f"recording {recording.vid!r}: the audio has shape {waveform.shape} or is not finite; "
            "one finite channel (samples,) is needed."
        )
    heard = resample(waveform, recording.rate, backend.rate)
    if not fills_a_row(len(heard), backend):
        raise DataError(
            f"{source}: recording {recording.vid!r} lasts {len(waveform) / recording.rate:.2f} s, and the "
            f"encoder {backend.name!r} gives a row for each {backend.hop:g} s. Leave it out, and queries "
            "about it."
        )
    return backend.audio(heard)


def _checked_queries(recording: Recording) -> list[Query]:
    for query in recording.queries:
        if query.vid != recording.vid:
            raise DataError(
                f"query {query.qid!r} names recording {query.vid!r} but comes with {recording.vid!r}; "
                "the data set must give each recording its own queries."
            )
    return list(recording.queries)
