"""From data sets and encoders to queries and features, made once and kept in a cache.

Features in the folder of a data set are used as they are. All others are made: `<cache>/data/<key>/` holds
`annotations.jsonl` and `features.h5`, and the key is a hash of all that determines them. They are made in
`<key>.making/`, in shards that worker processes write. A killed preparation continues after its finished
shards, and the number of workers does not change the result. The folder is renamed at the end, so a folder
called `<key>` is complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from amrbench.content_hash import content_hash
from amrbench.data.feature_source import EncoderFeatures, FeatureSource, concat_sources
from amrbench.data.local_dataset import HasDatasetFolder
from amrbench.data.shards import (
    RECORDINGS_A_SHARD,
    SENTENCES_A_SHARD,
    AudioShard,
    TextShard,
    audio_of,
    describe_part,
    header_for,
    run_shards,
    shard_ranges,
    text_of,
)
from amrbench.data.worker_pool import Report, on_wait, worker_pool
from amrbench.errors import DataError
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.feature_file import SCHEMA, FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import write_feature_file
from amrbench.files.file_lock import exclusive
from amrbench.part import parts_in
from amrbench.required_files import RequiredFile, missing_files, refuse_missing
from amrbench.slots.data import Dataset, DatasetPart, refuse_unknown_split
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.types import Query

ANNOTATIONS = "annotations.jsonl"
FEATURES = "features.h5"


@dataclass(frozen=True)
class FeatureRequest:
    """A split of a data set, and the encoder of its recordings and sentences."""

    dataset: DatasetPart
    split: str
    features: FeaturesPart

    @property
    def by_encoder(self) -> list[FeatureRequest]:
        """Return a request for each encoder of the features."""
        return [replace(self, features=encoder) for encoder in self.features.encoders]

    @property
    def name(self) -> str:
        """Return e.g. "castella train for clap"."""
        return f"{describe_part(self.dataset)} {self.split} for {self.features.label}"

    @property
    def required_files(self) -> list[RequiredFile]:
        """Return the files that must be present."""
        return [
            file
            for request in self.by_encoder
            for file in request.dataset.required_files(request.split, request.features)
        ]


def prepare(
    requests: Sequence[FeatureRequest], *, cache: Path, jobs: int, report: Report
) -> list[FeatureSource]:
    """Return the queries and features of splits; those that are not in the cache are made.

    Args:
        requests: Splits and encoders.
        cache: The cache folder.
        jobs: Number of worker processes; does not change the result.
        report: Called as the work goes on.

    Raises:
        DataError: A data set has no such split or is broken, a file that it or an encoder needs is
            missing, or the cache holds damaged files or cannot be written to.
        RunError: A worker process was killed.
    """
    refuse_missing_files(requests)
    with worker_pool(jobs, "prepares data") as pool:
        maker = _Maker(cache, pool, report)
        return [concat_sources([maker.source(part) for part in request.by_encoder]) for request in requests]


def refuse_missing_files(requests: Sequence[FeatureRequest]) -> None:
    """Raise DataError with all missing files that one of the splits needs; or do nothing."""
    missing = {request.name: missing_files(request.required_files) for request in requests}
    incomplete = [name for name, files in missing.items() if files]
    who = incomplete[0] if len(incomplete) == 1 else "the run"
    refuse_missing(who, [file for files in missing.values() for file in files])


def local_source(request: FeatureRequest) -> FeatureSource | None:
    """Return a split whose features are in the folder of its data set; None if they are not.

    Args:
        request: With one encoder.
    """
    if not isinstance(request.dataset, HasDatasetFolder):
        return None
    folder = request.dataset.dataset_folder
    if not folder.feature_file(request.features).is_file():
        return None
    queries = folder.queries(request.split)
    return FeatureSource(tuple(queries), (folder.encoder_features(queries, request.features),))


def cached_source(request: FeatureRequest, cache: Path) -> FeatureSource | None:
    """Return a split whose features are in the cache; None if they are not.

    Args:
        request: With one encoder.
        cache: The cache folder.
    """
    key = cache_key(request, request.dataset.build(), request.features.build())
    folder = cache / "data" / key
    return _read(folder, key) if is_prepared(folder) else None


def is_prepared(folder: Path) -> bool:
    """Whether a folder of the cache holds a finished split."""
    return (folder / ANNOTATIONS).is_file() and (folder / FEATURES).is_file()


def split_size(dataset: Dataset, name: str, split: str) -> int:
    """Return the number of recordings of a split, or raise DataError when there is no such split."""
    refuse_unknown_split(name, split, dataset.splits())
    return dataset.size(split)


def cache_key(request: FeatureRequest, dataset: Dataset, backend: FeatureBackend) -> str:
    """Return the name of a split in the cache: a hash of all that determines it."""
    parts = parts_in([request.dataset, request.features])
    versions = {f"{part.slot}/{part.use}": part.version for part in parts}
    return content_hash([SCHEMA, dataset.fingerprint(), request.split, backend.fingerprint(), versions])


def header_of(request: FeatureRequest, backend: FeatureBackend) -> FeatureHeader:
    """Return the header of the feature file of a split."""
    return header_for(f"{describe_part(request.dataset)} {request.split}", backend)


@dataclass(frozen=True)
class _Maker:
    """Makes splits that are not in the cache yet, each with one encoder."""

    cache: Path
    pool: Executor
    report: Report

    def source(self, request: FeatureRequest) -> FeatureSource:
        return local_source(request) or self._from_cache(request)

    def _from_cache(self, request: FeatureRequest) -> FeatureSource:
        dataset, backend = request.dataset.build(), request.features.build()
        recordings = split_size(dataset, request.dataset.use, request.split)
        key = cache_key(request, dataset, backend)
        folder = self.cache / "data" / key
        if not is_prepared(folder):
            waiting = on_wait(self.report, f"{request.dataset.use} {request.split}")
            with exclusive(folder.with_name(f"{key}.lock"), waiting):
                # Another process may have made it while this one waited.
                if not is_prepared(folder):
                    self._make(_Shards(request, header_of(request, backend), folder, recordings))
        return _read(folder, key)

    def _make(self, shards: _Shards) -> None:
        try:
            shards.making.mkdir(parents=True, exist_ok=True)
            self._make_shards(shards)
        except OSError as error:
            raise DataError(
                f"{shards.folder}: cannot be made ({error}). Check the folder and the disk."
            ) from error

    def _make_shards(self, shards: _Shards) -> None:
        split = f"{shards.request.dataset.use} {shards.request.split}"
        audio = shards.audio()
        what = f"{split}: audio for {shards.header.backend}"
        run_shards(self.pool, audio, what=what, report=self.report)
        queries = [query for shard in audio for query in shard.queries()]
        if not queries:
            raise DataError(
                f"{shards.header.source}: the split has no queries, so there is nothing to prepare."
            )
        text = shards.text(sorted({query.query for query in queries}))
        what = f"{split}: text for {shards.header.backend}"
        run_shards(self.pool, text, what=what, report=self.report)
        shards.join(audio, text, queries)


@dataclass(frozen=True)
class _Shards:
    """One split that is being made."""

    request: FeatureRequest
    header: FeatureHeader
    folder: Path
    recordings: int

    @property
    def making(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.making")

    def audio(self) -> list[AudioShard]:
        request = self.request
        return [
            AudioShard(
                file=self._file("audio", indices),
                header=self.header,
                features=request.features,
                dataset=request.dataset,
                split=request.split,
                indices=indices,
            )
            for indices in shard_ranges(self.recordings, RECORDINGS_A_SHARD)
        ]

    def text(self, sentences: Sequence[str]) -> list[TextShard]:
        return [
            TextShard(
                file=self._file("text", indices),
                header=self.header,
                features=self.request.features,
                sentences=tuple(sentences[indices.start : indices.stop]),
            )
            for indices in shard_ranges(len(sentences), SENTENCES_A_SHARD)
        ]

    def join(self, audio: Sequence[AudioShard], text: Sequence[TextShard], queries: Sequence[Query]) -> None:
        done = self.making / "done"
        shutil.rmtree(done, ignore_errors=True)
        done.mkdir()
        write_annotations(done / ANNOTATIONS, queries)
        write_feature_file(done / FEATURES, self.header, audio=audio_of(audio), text=text_of(text))
        read_annotations(done / ANNOTATIONS)  # Raises what it would raise at every later use.
        shutil.rmtree(self.folder, ignore_errors=True)
        done.rename(self.folder)
        shutil.rmtree(self.making, ignore_errors=True)

    def _file(self, kind: str, indices: range) -> Path:
        return self.making / f"{kind}-{indices.start:06d}.h5"


def _read(folder: Path, key: str) -> FeatureSource:
    features = EncoderFeatures.of_file(open_feature_file(folder / FEATURES), key, text_by="sentence")
    return FeatureSource(tuple(read_annotations(folder / ANNOTATIONS)), (features,))
