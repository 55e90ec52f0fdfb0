"""`amrbench data extract`: features of audio files, in one feature file or in a folder of them.

Worker processes write shards to `<output>.extracting/`, or to the folder that keeps them; an interrupted
extraction continues after its finished shards. Recordings and sentences that the feature file of a data set
lacks are added to it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from amrbench.content_hash import content_hash
from amrbench.data.audio import AudioFile, readable_suffixes
from amrbench.data.audio_lengths import other_lengths
from amrbench.data.cut_notes import note_long_sentences
from amrbench.data.file_shards import FileShard
from amrbench.data.local_dataset import DatasetFolder
from amrbench.data.measured_recordings import measured, refuse_short
from amrbench.data.recording_files import name_below, only_file
from amrbench.data.shards import (
    RECORDINGS_A_SHARD,
    SENTENCES_A_SHARD,
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
from amrbench.files.claim import claim_beside, exclusive
from amrbench.files.feature_file import FeatureFile, FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import ConcatTable, SelectedTable, write_feature_file
from amrbench.files.folder_files import files_below
from amrbench.files.shard_manifest import MANIFEST, ShardEntry, entry_of, read_manifest, write_manifest
from amrbench.notes import note
from amrbench.required_files import refuse_missing
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.tools.shard_workers import ShardWorkers


@dataclass(frozen=True)
class ExtractionJob:
    """What to extract, and where to write it.

    Attributes:
        name: The source of the features, for the header of the feature file.
        audio: Files by the name of the recording.
        sentences: Each once; none for a folder of audio files.
        output: The feature file.
        durations: Annotated seconds by the name of the recording.
        half: Store rows in half precision.
        shard_size: Recordings of a feature file, if the output is a folder of them with a manifest; 0 if it
            is one feature file.
    """

    name: str
    audio: Mapping[str, Path]
    sentences: tuple[str, ...]
    output: Path
    durations: Mapping[str, float] = field(default_factory=dict)
    half: bool = False
    shard_size: int = 0

    @property
    def lock(self) -> Path:
        """Return the file beside the output that one process at a time holds."""
        return claim_beside(self.output)

    def present(self, header: FeatureHeader) -> FeatureFile | None:
        """Return the feature file of a data set that lacks recordings or sentences; None if there is none.

        Raises:
            DataError: The output is complete, or cannot be completed.
        """
        if not self.output.exists() or (self.shard_size and self.output.is_dir()):
            return None
        if not self.sentences:
            raise DataError(f"{self.output}: exists already and is not overwritten. Move it away.")
        file = open_feature_file(self.output)
        if file.header.half != header.half:
            raise DataError(
                f"{self.output}: has rows in {_precision(file.header)} precision, and those in "
                f"{_precision(header)} precision cannot be added. Extract with the same --half, or move it "
                "away."
            )
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


def _precision(header: FeatureHeader) -> str:
    return "half" if header.half else "single"


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
    job: ExtractionJob,
    encoder: FeaturesPart,
    *,
    jobs: int,
    report: Report,
    workers: ShardWorkers | None = None,
) -> tuple[int, int]:
    """Write the feature file of a job, complete that of a data set, or write a folder of feature files.

    Args:
        job: What to extract.
        encoder: A single encoder.
        jobs: Number of worker processes; it does not change the result.
        report: Called with the progress.
        workers: Processes of an executor, in place of those of this process.

    Returns:
        The numbers of recordings and sentences of the job.

    Raises:
        DataError: Audio or files of the encoder are missing or damaged, a recording is too short, or the
            output is complete, of another encoder or cannot be written.
        RunError: A worker process was killed.
    """
    refuse_missing(f"encoder {encoder.label!r}", encoder.required_files())
    backend = encoder.build()
    header = header_for(job.name, backend, half=job.half)
    job.present(header)
    files = measured(job.audio, job.name, report)
    refuse_short(files.values(), backend)
    _note_other_lengths(files, job.durations)
    extraction = _Extraction(job, encoder, header, jobs, report, workers)
    with exclusive(job.lock, on_wait(report, str(job.output))):
        if job.shard_size:
            extraction.write_shards()
        else:
            extraction.write_file(backend)
    return len(job.audio), len(job.sentences)


@dataclass(frozen=True)
class _Extraction:
    """A job, the header of its features, and how they are made."""

    job: ExtractionJob
    encoder: FeaturesPart
    header: FeatureHeader
    jobs: int
    report: Report
    workers: ShardWorkers | None

    def write_file(self, backend: FeatureBackend) -> None:
        """Write or complete the feature file of the job."""
        job, folder = self.job, self.job.output.with_suffix(".extracting")
        present = job.present(self.header)  # The process that held the lock may have written it.
        remove_leftovers(job.output)
        folder.mkdir(parents=True, exist_ok=True)
        left = job.without(present) if present else job
        audio = self.audio_shards(left.audio, RECORDINGS_A_SHARD, folder)
        texts = self.text_shards(left.sentences, folder)
        self.make([*audio, *texts])
        encoded = [sentence for shard in texts for sentence in shard.sentences]
        note_long_sentences(str(job.output), encoded, backend)
        if present is not None:
            _note_kept(job, present)
        self.report(Progress(f"{job.name}: joining the parts", 0, 0))
        old_audio, old_text = ([present.audio], [present.text]) if present else ([], [])
        others = present.text.ids if present else ()  # Of splits whose annotations are elsewhere, too.
        sentences = {sentence: sentence for sentence in (*job.sentences, *others)}
        write_feature_file(
            job.output,
            self.header,
            audio=ConcatTable((*old_audio, audio_of(audio))),
            text=SelectedTable(ConcatTable((*old_text, text_of(texts))), sentences),
        )
        shutil.rmtree(folder, ignore_errors=True)

    def write_shards(self) -> None:
        """Write the shards of the job and their manifest; in a finished folder, what is missing or damaged.

        Raises:
            DataError: The folder is complete, or has features of other recordings.
        """
        folder = self.job.output
        folder.mkdir(parents=True, exist_ok=True)
        shards = self.audio_shards(self.job.audio, self.job.shard_size, folder)
        listed = read_manifest(folder) if (folder / MANIFEST).exists() else []
        own = [(shard.file.name, self.header.fingerprint, self.header.half) for shard in shards]
        if listed and [(entry.shard, entry.fingerprint, entry.half) for entry in listed] != own:
            raise DataError(
                f"{folder}: has features of other recordings, of other versions of them, or of another "
                "encoder, precision or --shard-size. Move it away, or name another output."
            )
        if listed and all(shard.is_made() for shard in shards):
            raise DataError(
                f"{folder}: is complete already, so nothing was extracted. Move it away to extract it again."
            )
        entries = self.make(shards)
        write_manifest(folder, [entries.get(shard.file.name) or entry_of(shard.file) for shard in shards])

    def make(self, shards: Sequence[FileShard | TextShard]) -> dict[str, ShardEntry]:
        """Make the shards that do not exist yet; return the entries that are known."""
        what = f"{self.job.name}: extracting"
        if self.workers:
            return self.workers.make(shards, what=what, report=self.report)
        with worker_pool(self.jobs, "extracts features") as pool:
            run_shards(pool, shards, what=what, report=self.report)
        return {}

    def audio_shards(self, audio: Mapping[str, Path], size: int, folder: Path) -> list[FileShard]:
        """Return shards of recordings; their names depend on the files that they are made from."""
        files, shards = tuple(audio.items()), []
        for indices in shard_ranges(len(files), size):
            part = files[indices.start : indices.stop]
            versions = [
                [name, str(path), path.stat().st_size, path.stat().st_mtime_ns] for name, path in part
            ]
            file = folder / f"audio-{content_hash(versions)}.h5"
            shards.append(FileShard(file, self.header, self.encoder, part))
        return shards

    def text_shards(self, sentences: Sequence[str], folder: Path) -> list[TextShard]:
        """Return shards of sentences; their names depend on the sentences."""
        ordered, shards = sorted(sentences), []
        for indices in shard_ranges(len(ordered), SENTENCES_A_SHARD):
            group = tuple(ordered[indices.start : indices.stop])
            file = folder / f"text-{content_hash(group)}.h5"
            shards.append(TextShard(file, self.header, self.encoder, group))
        return shards


def _note_kept(job: ExtractionJob, present: FeatureFile) -> None:
    """Check and note the features that are kept; without the check, damaged rows would get new checksums."""
    present.verify()
    kept = len(present.text.ids)
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
