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
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from amrbench.content_hash import content_hash
from amrbench.data.cut_notes import note_long_sentences
from amrbench.data.feature_source import EncoderFeatures, FeatureSource, concat_sources
from amrbench.data.local_dataset import HasDatasetFolder
from amrbench.data.measured_recordings import measured, refuse_other_durations, refuse_short
from amrbench.data.required_splits import FeatureRequest, refuse_missing_files
from amrbench.data.shards import (
    RECORDINGS_A_SHARD,
    SENTENCES_A_SHARD,
    AudioShard,
    AudioShards,
    TextShard,
    audio_of,
    header_for,
    run_shards,
    shard_ranges,
    text_of,
)
from amrbench.data.worker_pool import Progress, Report, WorkerPool, on_wait, worker_pool
from amrbench.errors import DataError
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.checksums import has_checksums, set_aside_changed, write_checksums
from amrbench.files.claim import exclusive
from amrbench.files.feature_file import SCHEMA, FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import write_feature_file
from amrbench.files.folders import OTHER_CACHE
from amrbench.files.writable_folder import refuse_unwritable
from amrbench.notes import note
from amrbench.part import parts_in
from amrbench.slots.data import Dataset, refuse_unknown_split
from amrbench.slots.features import FeatureBackend

DATA = "data"
"""The folder of prepared data, in the cache folder."""
ANNOTATIONS = "annotations.jsonl"
FEATURES = "features.h5"


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
            missing, or the cache holds damaged files.
        RunError: The cache cannot be written to, or a worker process was killed.
    """
    refuse_missing_files(requests)
    splits = [
        [local_source(single) or CachedSplit(single, cache) for single in request.by_encoder]
        for request in requests
    ]
    for split in (split for encoded in splits for split in encoded):
        if isinstance(split, CachedSplit) and not split.is_made:
            refuse_unwritable(split.folder.parent, "prepared data", OTHER_CACHE)
            refuse_recordings(split, report)
    groups: dict[str, dict[str, CachedSplit]] = {}
    for split in (split for encoded in splits for split in encoded if isinstance(split, CachedSplit)):
        groups.setdefault(split.request.source, {})[split.key] = split
    with worker_pool(jobs, "prepares data") as pool:
        for group in groups.values():
            _make_missing(list(group.values()), pool, report)
    return [
        concat_sources([split if isinstance(split, FeatureSource) else split.read() for split in encoded])
        for encoded in splits
    ]


def local_source(request: FeatureRequest) -> FeatureSource | None:
    """Return a split for one encoder with features from the folder of its data set; None without any."""
    if not isinstance(request.dataset, HasDatasetFolder):
        return None
    folder = request.dataset.dataset_folder
    if not folder.feature_file(request.features).is_file():
        return None
    return folder.source(request.split, request.features)


def split_size(dataset: Dataset, name: str, split: str) -> int:
    """Return the number of recordings of a split, or raise DataError when there is no such split."""
    refuse_unknown_split(name, split, dataset.splits())
    return dataset.size(split)


@dataclass(frozen=True, eq=False)
class CachedSplit:
    """A split for one encoder in the cache folder; it may not be made yet."""

    request: FeatureRequest
    cache: Path

    @cached_property
    def dataset(self) -> Dataset:
        """Return the data set."""
        return self.request.dataset.build()

    @cached_property
    def backend(self) -> FeatureBackend:
        """Return the encoder."""
        return self.request.features.build()

    @cached_property
    def header(self) -> FeatureHeader:
        """Return the header of the feature file."""
        return header_for(self.request.source, self.backend)

    @cached_property
    def recordings(self) -> int:
        """Return the number of recordings, or raise DataError when there is no such split."""
        return split_size(self.dataset, self.request.dataset.use, self.request.split)

    @cached_property
    def key(self) -> str:
        """Return its name in the cache: a hash of all that determines it."""
        request = self.request
        versions = {
            f"{part.slot}/{part.use}": part.version for part in parts_in([request.dataset, request.features])
        }
        fingerprints = self.dataset.fingerprint(), request.split, self.backend.fingerprint()
        return content_hash([SCHEMA, *fingerprints, versions])

    @property
    def folder(self) -> Path:
        """Return its folder."""
        return self.cache / DATA / self.key

    @property
    def making(self) -> Path:
        """Return the folder in which it is made."""
        return self.folder.with_name(f"{self.key}.making")

    @property
    def is_made(self) -> bool:
        """Whether it is finished."""
        return has_checksums(self.folder) and (self.folder / FEATURES).is_file()

    def audio_shards(self) -> list[AudioShard]:
        """Return the parts of its audio features, in the folder in which it is made."""
        self.making.mkdir(parents=True, exist_ok=True)
        return [
            AudioShard(
                file=self.making / f"audio-{indices.start:06d}.h5",
                header=self.header,
                features=self.request.features,
                dataset=self.request.dataset,
                split=self.request.split,
                indices=indices,
            )
            for indices in shard_ranges(self.recordings, RECORDINGS_A_SHARD)
        ]

    def read(self) -> FeatureSource:
        """Return the finished split."""
        file = open_feature_file(self.folder / FEATURES)
        features = EncoderFeatures.of_file(file, self.key)
        return FeatureSource(tuple(read_annotations(self.folder / ANNOTATIONS)), (features,))


def refuse_recordings(split: CachedSplit, report: Report) -> None:
    """Raise DataError if recordings of a data set folder are missing, damaged, too short or other ones."""
    request = split.request
    if isinstance(request.dataset, HasDatasetFolder):
        folder = request.dataset.dataset_folder
        durations = {query.vid: query.duration for query in folder.queries(request.split)}
        folder.refuse_missing_audio(durations)
        files = {vid: folder.find_audio(vid) for vid in durations}
        recordings = measured(files, request.name, report)
        refuse_short(recordings.values(), split.backend)
        refuse_other_durations(recordings, durations, split.backend)


def _make_missing(splits: Sequence[CachedSplit], pool: WorkerPool, report: Report) -> None:
    """Make what is not in the cache, or has changed there, of one split for several encoders."""
    for split in splits:
        if changed := set_aside_changed(split.folder):
            note(f"{split.request.dataset.use} {split.request.split} is made again: {changed}")
    missing = sorted((split for split in splits if not split.is_made), key=lambda split: split.key)
    with ExitStack() as claims:
        for split in missing:  # In one order everywhere, so that no two processes wait for each other.
            waiting = on_wait(report, f"{split.request.dataset.use} {split.request.split}")
            claims.enter_context(exclusive(split.folder.with_name(f"{split.key}.lock"), waiting))
        try:
            # Another process may have made some while this one waited.
            _make([split for split in missing if not split.is_made], pool, report)
        except OSError as error:
            raise DataError(
                f"{missing[0].folder}: cannot be made ({error}). Check the folder and the disk."
            ) from error


def _make(splits: Sequence[CachedSplit], pool: WorkerPool, report: Report) -> None:
    audio = [split.audio_shards() for split in splits]
    if not audio:
        return
    name = f"{splits[0].request.dataset.use} {splits[0].request.split}"
    encoders = " and ".join(split.header.backend for split in splits)
    together = [AudioShards(shards) for shards in zip(*audio, strict=True)]
    run_shards(pool, together, what=f"{name}: audio for {encoders}", report=report)
    for split, shards in zip(splits, audio, strict=True):
        _finish(split, shards, name, pool, report)


def _finish(
    split: CachedSplit, audio: Sequence[AudioShard], name: str, pool: WorkerPool, report: Report
) -> None:
    """Encode the sentences of a split, and join all its shards."""
    request, header, making = split.request, split.header, split.making
    queries = [query for shard in audio for query in shard.queries()]
    if not queries:
        raise DataError(f"{header.source}: the split has no queries, so there is nothing to prepare.")

    sentences = sorted({query.query for query in queries})
    text = [
        TextShard(
            file=making / f"text-{indices.start:06d}.h5",
            header=header,
            features=request.features,
            sentences=tuple(sentences[indices.start : indices.stop]),
        )
        for indices in shard_ranges(len(sentences), SENTENCES_A_SHARD)
    ]
    run_shards(pool, text, what=f"{name}: text for {header.backend}", report=report)
    note_long_sentences(request.location, sentences, split.backend)

    report(Progress(f"{name}: joining the parts", 0, 0))
    done = making / "done"
    shutil.rmtree(done, ignore_errors=True)
    done.mkdir()
    write_annotations(done / ANNOTATIONS, queries)
    write_feature_file(done / FEATURES, header, audio=audio_of(audio), text=text_of(text))
    write_checksums(done, [ANNOTATIONS])  # The feature file has a digest of its own.
    read_annotations(done / ANNOTATIONS)  # Raises what it would raise at every later use.
    shutil.rmtree(split.folder, ignore_errors=True)
    done.rename(split.folder)
    shutil.rmtree(making, ignore_errors=True)
