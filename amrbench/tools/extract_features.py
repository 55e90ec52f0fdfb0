"""`amrbench data extract`: features of audio files, in one feature file.

Worker processes write shards to `<output>.extracting/`; an interrupted extraction continues after its
finished shards. Recordings and sentences that the feature file of a data set lacks are added to it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.data.audio import AudioFile, open_audio, readable_suffixes
from amrbench.data.audio_lengths import other_lengths
from amrbench.data.cut_notes import note_long_sentences
from amrbench.data.local_dataset import DatasetFolder, LocalRecording
from amrbench.data.measured_recordings import measured, refuse_short
from amrbench.data.recording_files import name_below, only_file
from amrbench.data.shards import (
    RECORDINGS_A_SHARD,
    SENTENCES_A_SHARD,
    AudioShard,
    TextShard,
    audio_of,
    header_for,
    run_shards,
    shard_ranges,
    text_of,
)
from amrbench.data.unread_files import about_unread_audio
from amrbench.data.worker_pool import Progress, Report, on_wait, worker_pool
from amrbench.errors import DataError, some
from amrbench.files.atomic import remove_leftovers
from amrbench.files.claim import exclusive
from amrbench.files.feature_file import FeatureFile, FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import ConcatTable, SelectedTable, write_feature_file
from amrbench.files.folder_files import files_below
from amrbench.notes import note
from amrbench.required_files import refuse_missing
from amrbench.slots.data import Dataset, DatasetPart
from amrbench.slots.features import FeaturesPart

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
        sentences: Each once; none for a folder of audio files.
        output: The feature file.
        durations: Annotated seconds by the name of the recording.
    """

    name: str
    audio: Mapping[str, Path]
    sentences: tuple[str, ...]
    output: Path
    durations: Mapping[str, float] = field(default_factory=dict)

    def present(self, header: FeatureHeader) -> FeatureFile | None:
        """Return the feature file of a data set that lacks recordings or sentences; None if there is none.

        Raises:
            DataError: The output is complete, or cannot be completed.
        """
        if not self.output.exists():
            return None
        if not self.sentences:
            raise DataError(f"{self.output}: exists already and is not overwritten. Move it away.")
        file = open_feature_file(self.output)
        # The name of the data set may differ, because its folder may have been moved.
        if replace(file.header, source=header.source) != header:
            raise DataError(
                f"{self.output}: has features of {file.header.backend!r} ({file.header.fingerprint}), and "
                f"those of {header.backend!r} ({header.fingerprint}) cannot be added. Move it away."
            )
        remaining = self.without(file)
        if not remaining.audio and not remaining.sentences:
            raise DataError(
                f"{self.output}: is complete already, so nothing was extracted. Move it away to extract it "
                "again."
            )
        return file

    def without(self, file: FeatureFile) -> ExtractionJob:
        """Return the job for what a feature file lacks."""
        recordings, sentences = set(file.audio.ids), set(file.text.ids)
        return replace(
            self,
            audio={name: path for name, path in self.audio.items() if name not in recordings},
            sentences=tuple(sentence for sentence in self.sentences if sentence not in sentences),
        )


def job_for_folder(folder: Path, output: Path) -> ExtractionJob:
    """Return the job for all audio files below a folder; a recording is named by its path without suffix.

    Raises:
        DataError: There are no audio files, a folder cannot be read, two files have one name, or a name is
            not UTF-8.
    """
    if folder.is_file():
        raise DataError(f"{folder}: is a file, not a folder. Name the folder that it is in.")
    listed, suffixes = files_below(folder), readable_suffixes()
    files: dict[str, list[Path]] = {}
    for path in listed.files:
        if path.suffix.lower() in suffixes:
            files.setdefault(_name_below(folder, path), []).append(path)
    not_read = about_unread_audio(listed)
    if not files:
        lines = [f"{folder}: there are no audio files ({', '.join(suffixes)}).", *not_read]
        raise DataError("\n  ".join(lines))
    for text in not_read:
        note(f"{folder}: {text}")
    audio = {name: only_file(paths, name, folder) for name, paths in files.items()}
    return ExtractionJob(str(folder), audio, (), output)


def _name_below(folder: Path, path: Path) -> str:
    name = name_below(folder, path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{folder}: the name {name!r} is not UTF-8. Rename the file or its folder.") from None
    return name


def job_for_dataset(folder: DatasetFolder, encoder: FeaturesPart) -> ExtractionJob:
    """Return the job for all recordings and queries of the splits whose annotation files exist.

    Raises:
        DataError: There are no annotations, or recordings are missing.
    """
    queries = [query for split in folder.present_splits for query in folder.queries(split)]
    if not queries:
        names = ", ".join(folder.annotations(split).name for split in folder.splits)
        raise folder.without_annotations(
            f"{folder.name}: there are no annotations in {folder.root}. Put one of {names} there, or name "
            "an output with -o to extract features of a folder of audio files alone."
        )
    durations = {query.vid: query.duration for query in queries}
    folder.refuse_missing_audio(durations)
    audio = {vid: folder.find_audio(vid) for vid in durations}
    sentences = tuple(dict.fromkeys(query.query for query in queries))
    return ExtractionJob(folder.name, audio, sentences, folder.feature_file(encoder), durations)


def extract_features(
    job: ExtractionJob, encoder: FeaturesPart, *, jobs: int, report: Report
) -> tuple[int, int]:
    """Write the feature file of a job, or complete that of a data set.

    Args:
        job: What to extract.
        encoder: A single encoder.
        jobs: Number of worker processes; it does not change the result.
        report: Called with the progress.

    Returns:
        The numbers of recordings and sentences of the job.

    Raises:
        DataError: Audio or files of the encoder are missing or damaged, a recording is too short, or the
            output is complete, of another encoder or cannot be written.
        RunError: A worker process was killed.
    """
    refuse_missing(f"encoder {encoder.label!r}", encoder.required_files())
    backend = encoder.build()
    header, folder = header_for(job.name, backend), job.output.with_suffix(".extracting")
    job.present(header)
    files = measured(job.audio, job.name, report)
    refuse_short(files.values(), backend)
    _note_other_lengths(files, job.durations)
    with exclusive(job.output.with_suffix(".lock"), on_wait(report, str(job.output))):
        present = job.present(header)  # The process that held the lock may have written it.
        remove_leftovers(job.output)
        folder.mkdir(parents=True, exist_ok=True)
        audio, texts = _shards(job.without(present) if present else job, encoder, header, folder)
        with worker_pool(jobs, "extracts features") as pool:
            run_shards(pool, [*audio, *texts], what=f"{job.name}: extracting", report=report)
        encoded = [sentence for shard in texts for sentence in shard.sentences]
        note_long_sentences(str(job.output), encoded, backend)
        if present is not None:
            _note_kept(job, present)
        report(Progress(f"{job.name}: joining the parts", 0, 0))
        old_audio, old_text = ([present.audio], [present.text]) if present else ([], [])
        sentences = {sentence: sentence for sentence in job.sentences}
        write_feature_file(
            job.output,
            header,
            audio=ConcatTable((*old_audio, audio_of(audio))),
            text=SelectedTable(ConcatTable((*old_text, text_of(texts))), sentences),
        )
        shutil.rmtree(folder, ignore_errors=True)
    return len(job.audio), len(job.sentences)


def _note_kept(job: ExtractionJob, present: FeatureFile) -> None:
    """Check and note the features that are kept; without the check, damaged rows would get new checksums."""
    present.verify()
    kept = len(set(present.text.ids).intersection(job.sentences))
    note(
        f"{job.output}: its features of {len(present.audio.ids):,} recordings and {kept:,} sentences are "
        "kept; only the others were extracted."
    )


def _note_other_lengths(files: Mapping[str, AudioFile], durations: Mapping[str, float]) -> None:
    if other := other_lengths(files.items(), durations):
        note(
            f"{len(other):,} of {len(files):,} recordings are not as long as annotated, and runs refuse much "
            f"longer or shorter ones: {some(other, 3)}. Download them again, or correct their durations."
        )


def _shards(
    job: ExtractionJob, encoder: FeaturesPart, header: FeatureHeader, folder: Path
) -> tuple[list[AudioShard], list[TextShard]]:
    """Return the shards of a job; their names depend on the files and sentences that they are made from."""
    files, sentences = tuple(job.audio.items()), tuple(sorted(job.sentences))
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
