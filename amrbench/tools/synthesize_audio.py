"""`amrbench data synthesize`: recordings of a data set as audio files, with annotations and provenance.

A folder that is being written has a folder `.making` with a line for each finished recording, so an
interrupted work continues; it is removed when everything is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import soundfile

from amrbench.data.prepare import split_size
from amrbench.data.shards import built_dataset, describe_part
from amrbench.data.worker_pool import Progress, Report, run_tasks, worker_pool
from amrbench.errors import DataError
from amrbench.files.annotations import read_annotations, safe_id, write_annotations
from amrbench.files.atomic import atomic_path, write_text_atomic
from amrbench.slots.data import DatasetPart, Recording

FORMATS = ("flac", "wav")
ANNOTATIONS = "annotations.jsonl"
MANIFEST = "manifest.jsonl"
_MAKING = ".making"


@runtime_checkable
class HasProvenance(Protocol):
    """A recording that knows what it was made from."""

    @property
    def provenance(self) -> Mapping[str, object]:
        """Return sources, licences, times and levels, as JSON can hold them."""


@dataclass(frozen=True)
class SynthesisJob:
    """What is to be written.

    Attributes:
        dataset: The data set.
        split: One of its splits.
        count: Number of recordings; None for all.
        folder: Missing, empty, or left by the same job when it was interrupted.
        format: "flac" or "wav", both with 16 bits.
    """

    dataset: DatasetPart
    split: str
    count: int | None
    folder: Path
    format: str = "flac"

    def record(self, index: int) -> Path:
        """Return the file that says that a recording is finished."""
        return self.folder / _MAKING / f"{index:06d}.json"

    def queries(self, index: int) -> Path:
        """Return the annotation file of one recording."""
        return self.folder / _MAKING / f"{index:06d}.queries.jsonl"


def synthesize(job: SynthesisJob, *, jobs: int = 1, report: Report) -> list[Path]:
    """Write the first recordings of a split, `annotations.jsonl` and, if it is known, `manifest.jsonl`.

    Args:
        job: What is to be written.
        jobs: Worker processes; without influence on the result.
        report: Called after each recording.

    Returns:
        The audio files.

    Raises:
        DataError: There is no such split or format, the folder holds something else or cannot be written to,
            or what the data set is made of is missing or damaged.
        RunError: A worker process was killed.
    """
    if job.format not in FORMATS:
        raise DataError(f"audio format {job.format!r} is not known; use {' or '.join(FORMATS)}.")
    dataset = job.dataset.build()
    total = split_size(dataset, job.dataset.use, job.split)
    size = total if job.count is None else min(job.count, total)
    try:
        _open(job, dataset.fingerprint(), size)
        missing = [index for index in range(size) if not job.record(index).is_file()]
        what = f"{job.dataset.use} {job.split}: audio files"
        with worker_pool(jobs, "writes recordings") as pool:
            progress = Progress(what, size - len(missing), size)
            run_tasks(pool, partial(write_one, job), missing, progress=progress, report=report)
        return _close(job, size)
    except OSError as error:
        raise DataError(f"{job.folder}: cannot be written ({error}). Choose another folder.") from error


def write_one(job: SynthesisJob, index: int) -> int:
    """Write a recording and then its record; meant for a worker process. Returns 1."""
    recording = built_dataset(job.dataset).recording(job.split, index)
    name = f"{safe_id(recording.vid)}.{job.format}"
    _write_audio(job.folder / name, recording, job.format)
    write_annotations(job.queries(index), recording.queries)
    provenance = recording.provenance if isinstance(recording, HasProvenance) else None
    write_text_atomic(job.record(index), json.dumps({"file": name, "provenance": provenance}))
    return 1


def _open(job: SynthesisJob, fingerprint: str, size: int) -> None:
    # The size is part of it: with a smaller one, finished recordings would have no annotations.
    content = json.dumps([describe_part(job.dataset), job.split, job.format, fingerprint, size])
    file = job.folder / _MAKING / "job.json"
    if file.is_file():
        if file.read_text("utf-8") == content:
            return
        raise DataError(
            f"{job.folder}: holds finished recordings of another job: of another data set, split, format or "
            "number, or of corpora that have changed. Give the same command as then, or name a new folder."
        )
    if job.folder.is_dir() and any(job.folder.iterdir()):
        raise DataError(
            f"{job.folder}: the folder is not empty, and nothing in it is overwritten. Name a new one."
        )
    file.parent.mkdir(parents=True)
    write_text_atomic(file, content)


def _close(job: SynthesisJob, size: int) -> list[Path]:
    records: list[dict[str, Any]] = [
        json.loads(job.record(index).read_text("utf-8")) for index in range(size)
    ]
    files = [job.queries(index) for index in range(size)]
    queries = [query for file in files if file.stat().st_size for query in read_annotations(file)]
    write_annotations(job.folder / ANNOTATIONS, queries)
    known = [record["provenance"] for record in records if record["provenance"] is not None]
    if known:
        text = "".join(json.dumps(provenance, ensure_ascii=False) + "\n" for provenance in known)
        write_text_atomic(job.folder / MANIFEST, text)
    shutil.rmtree(job.folder / _MAKING)
    return [job.folder / record["file"] for record in records]


def _write_audio(path: Path, recording: Recording, form: str) -> None:
    samples = np.clip(recording.waveform, -1.0, 1.0)
    try:
        with atomic_path(path) as part:
            soundfile.write(part, samples, recording.rate, subtype="PCM_16", format=form.upper())
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: cannot be written ({error}). Check the folder and the disk.") from error
