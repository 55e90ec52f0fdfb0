"""`amrbench data extract`: features of audio files, in one feature file.

Worker processes write shards to `<output>.extracting/`; an interrupted extraction continues after its
finished shards.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.data.audio import SUFFIXES, open_audio
from amrbench.data.local_dataset import DatasetFolder, LocalRecording
from amrbench.data.resample import resampled_length
from amrbench.data.shards import (
    RECORDINGS_A_SHARD,
    SENTENCES_A_SHARD,
    AudioShard,
    TextShard,
    audio_of,
    fills_a_row,
    header_for,
    run_shards,
    shard_ranges,
    text_of,
)
from amrbench.data.worker_pool import Report, on_wait, worker_pool
from amrbench.errors import DataError, some
from amrbench.files.atomic import remove_leftovers
from amrbench.files.feature_file import FeatureHeader
from amrbench.files.feature_file_writer import InMemoryTable, SelectedTable, write_feature_file
from amrbench.files.file_lock import exclusive
from amrbench.required_files import refuse_missing
from amrbench.slots.data import Dataset, DatasetPart
from amrbench.slots.features import FeatureBackend, FeaturesPart

ALL = "all"


class AudioFiles(DatasetPart):
    """Audio files without queries, with one split; for shards, not for recipes."""

    use = "audio-files"
    files: tuple[tuple[str, Path], ...] = ()
    """Name and path of each."""

    @override
    def build(self) -> Dataset:
        return _AudioFileDataset(self.files)


@dataclass(frozen=True)
class _AudioFileDataset(Dataset):
    files: tuple[tuple[str, Path], ...]

    @override
    def splits(self) -> Sequence[str]:
        return [ALL]

    @override
    def size(self, split: str) -> int:
        return len(self.files)

    @override
    def recording(self, split: str, index: int) -> LocalRecording:
        name, path = self.files[index]
        file = open_audio(path)
        return LocalRecording(name, file.rate, file.read(), ())

    @override
    def fingerprint(self) -> str:
        return content_hash([[name, str(path)] for name, path in self.files])


@dataclass(frozen=True)
class ExtractionJob:
    """What to extract, and where to write it.

    Attributes:
        name: The source of the features, for the header of the feature file.
        audio: Files by the name of the recording.
        texts: Sentences by their name in the feature file.
        output: The feature file.
    """

    name: str
    audio: Mapping[str, Path]
    texts: Mapping[str, str]
    output: Path


def job_for_folder(folder: Path, output: Path) -> ExtractionJob:
    """Return the job for all audio files below a folder; a recording is named by its path without suffix.

    Raises:
        DataError: There are no audio files, a folder cannot be read, two files have one name, or a name is
            not UTF-8.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder. Check the path.")

    def refuse_unreadable(error: OSError) -> NoReturn:
        raise DataError(
            f"{error.filename}: cannot be read ({error.strerror}). Make it readable, or move it away."
        ) from error

    # By default, os.walk skips folders that it cannot read.
    walk = os.walk(folder, onerror=refuse_unreadable)
    paths = (Path(parent) / name for parent, _, names in walk for name in names)
    files: dict[str, Path] = {}
    for path in sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            raise DataError(f"{path}: {files[name].name} has the same name; rename one of them.")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"{folder}: the name {name!r} is not UTF-8. Rename the file or its folder."
            ) from None
        files[name] = path
    if not files:
        raise DataError(f"{folder}: there are no audio files ({', '.join(SUFFIXES)}).")
    return ExtractionJob(str(folder), files, {}, output)


def job_for_dataset(folder: DatasetFolder, encoder: FeaturesPart) -> ExtractionJob:
    """Return the job for all recordings and queries of the splits whose annotation files exist.

    Raises:
        DataError: There are no annotations, or recordings are missing.
    """
    queries = [query for split in folder.present_splits for query in folder.queries(split)]
    if not queries:
        names = ", ".join(folder.annotations(split).name for split in folder.splits)
        raise DataError(
            f"{folder.name}: there are no annotations in {folder.root}. Put one of {names} there, or name "
            "an output with -o to extract features of a folder of audio files alone."
        )
    files = {vid: folder.find_audio(vid) for vid in dict.fromkeys(query.vid for query in queries)}
    missing = [vid for vid, path in files.items() if path is None]
    if missing:
        raise DataError(
            f"{folder.audio_folder}: {len(missing):,} of {len(files):,} recordings are missing: "
            f"{some(missing)}. They are published at {folder.audio}."
        )
    audio = {vid: path for vid, path in files.items() if path is not None}
    texts = {str(query.qid): query.query for query in queries}
    return ExtractionJob(folder.name, audio, texts, folder.feature_file(encoder))


def extract_features(
    job: ExtractionJob, encoder: FeaturesPart, *, jobs: int, report: Report
) -> tuple[int, int]:
    """Write the feature file of a job.

    Args:
        job: What to extract; the feature file must not exist yet.
        encoder: A single encoder.
        jobs: Number of worker processes; it does not change the result.
        report: Called with the progress.

    Returns:
        The numbers of recordings and texts.

    Raises:
        DataError: Audio or files of the encoder are missing or damaged, a recording is too short, or the
            output exists or cannot be written.
        RunError: A worker process was killed.
    """
    refuse_missing(f"encoder {encoder.label!r}", encoder.required_files())
    _refuse_existing(job.output)
    backend = encoder.build()
    _refuse_short(job.audio, backend)
    header, folder = header_for(job.name, backend), job.output.with_suffix(".extracting")
    with exclusive(job.output.with_suffix(".lock"), on_wait(report, str(job.output))):
        # The process that held the lock may have written it.
        _refuse_existing(job.output)
        remove_leftovers(job.output)
        folder.mkdir(parents=True, exist_ok=True)
        audio, texts = _shards(job, encoder, header, folder)
        with worker_pool(jobs, "extracts features") as pool:
            run_shards(pool, [*audio, *texts], what=f"{job.name}: extracting", report=report)
        text = SelectedTable(text_of(texts), job.texts) if job.texts else InMemoryTable()
        write_feature_file(job.output, header, audio=audio_of(audio), text=text)
        shutil.rmtree(folder, ignore_errors=True)
    return len(job.audio), len(job.texts)


def _refuse_existing(output: Path) -> None:
    if output.exists():
        raise DataError(f"{output}: exists already and is not overwritten. Move it away.")


def _refuse_short(files: Mapping[str, Path], backend: FeatureBackend) -> None:
    recordings = [open_audio(path) for path in files.values()]
    short = [
        f"{file.path} ({file.seconds:.3f} s)"
        for file in recordings
        if not fills_a_row(resampled_length(file.samples, file.rate, backend.rate), backend)
    ]
    if short:
        raise DataError(
            f"{len(short):,} of {len(recordings):,} recordings are too short for the encoder "
            f"{backend.name!r}, which gives a row for each {backend.hop:g} s: {some(short)}. Leave them out, "
            "and queries about them."
        )


def _shards(
    job: ExtractionJob, encoder: FeaturesPart, header: FeatureHeader, folder: Path
) -> tuple[list[AudioShard], list[TextShard]]:
    """Return the shards of a job; their names depend on the files and sentences that they are made from."""
    files, sentences = tuple(job.audio.items()), tuple(sorted(set(job.texts.values())))
    audio, texts = [], []
    for indices in shard_ranges(len(files), RECORDINGS_A_SHARD):
        part = files[indices.start : indices.stop]
        versions = [[name, str(path), path.stat().st_size, path.stat().st_mtime_ns] for name, path in part]
        file, dataset = folder / f"audio-{content_hash(versions)}.h5", AudioFiles(files=part)
        audio.append(AudioShard(file, header, encoder, dataset, ALL, range(len(part))))
    for indices in shard_ranges(len(sentences), SENTENCES_A_SHARD):
        group = sentences[indices.start : indices.stop]
        texts.append(TextShard(folder / f"text-{content_hash(group)}.h5", header, encoder, group))
    return audio, texts
