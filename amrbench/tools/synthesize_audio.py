"""`amrbench data synthesize`: recordings of a data set as audio files, with annotations and provenance.

While it runs, the folder `.making` has a file for each finished recording, so that an interrupted command can
continue. It is deleted at the end.
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
from amrbench.data.required_splits import describe_part
from amrbench.data.shards import built
from amrbench.data.worker_pool import Progress, Report, run_tasks, worker_pool
from amrbench.errors import DataError
from amrbench.files.annotations import read_annotations, safe_id, write_annotations
from amrbench.files.atomic import atomic_path, write_text_atomic
from amrbench.slots.data import DatasetPart

FORMATS = ("flac", "wav")
ANNOTATIONS = "annotations.jsonl"
MANIFEST = "manifest.jsonl"
_MAKING = ".making"


@runtime_checkable
class HasProvenance(Protocol):
    """A recording with a description of what it was made from."""

    @property
    def provenance(self) -> Mapping[str, object]:
        """Return sources, licences, times and levels as JSON values."""


@dataclass(frozen=True)
class SynthesisJob:
    """What to write, and where.

    Attributes:
        dataset: The data set.
        split: One of its splits.
        count: Number of recordings; None for all.
        folder: A folder that does not exist, is empty, or is of the same job before it was interrupted.
        format: "flac" or "wav", both with 16 bits.
    """

    dataset: DatasetPart
    split: str
    count: int | None
    folder: Path
    format: str = "flac"

    def record(self, index: int) -> Path:
        """Return the file that marks a recording as finished; it holds its file name and provenance."""
        return self.folder / _MAKING / f"{index:06d}.json"

    def queries(self, index: int) -> Path:
        """Return the annotation file of one recording."""
        return self.folder / _MAKING / f"{index:06d}.queries.jsonl"


def synthesize(job: SynthesisJob, *, jobs: int = 1, report: Report) -> list[Path]:
    """Write the first recordings of a split, with `annotations.jsonl` and, if known, `manifest.jsonl`.

    Args:
        job: What to write.
        jobs: Number of worker processes; it does not change the result.
        report: Called after each recording.

    Returns:
        The audio files.

    Raises:
        DataError: There is no such split or format, the folder has other content or cannot be written, or
            sources of the data set are missing or damaged.
        RunError: A worker process was killed.
    """
    if job.format not in FORMATS:
        raise DataError(f"audio format {job.format!r} is unknown; use {' or '.join(FORMATS)}.")
    dataset = job.dataset.build()
    total = split_size(dataset, job.dataset.use, job.split)
    size = total if job.count is None else min(job.count, total)
    try:
        _start(job, dataset.fingerprint(), size)
        missing = [index for index in range(size) if not job.record(index).is_file()]
        progress = Progress(f"{job.dataset.use} {job.split}: audio files", size - len(missing), size)
        with worker_pool(jobs, "writes recordings") as pool:
            run_tasks(pool, partial(write_one, job), missing, progress=progress, report=report)
        return _finish(job, size)
    except OSError as error:
        raise DataError(f"{job.folder}: cannot be written ({error}). Choose another folder.") from error


def write_one(job: SynthesisJob, index: int) -> int:
    """Write a recording and then its record, in a worker process; return 1, the number of recordings."""
    recording = built(job.dataset).recording(job.split, index)
    path = job.folder / f"{safe_id(recording.vid)}.{job.format}"
    samples = np.clip(recording.waveform, -1.0, 1.0)
    try:
        with atomic_path(path, job.folder / _MAKING) as part:  # So those of killed workers go with it.
            soundfile.write(part, samples, recording.rate, subtype="PCM_16", format=job.format.upper())
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: cannot be written ({error}). Check the folder and the disk.") from error
    write_annotations(job.queries(index), recording.queries)
    provenance = recording.provenance if isinstance(recording, HasProvenance) else None
    write_text_atomic(job.record(index), json.dumps({"file": path.name, "provenance": provenance}))
    return 1


def _start(job: SynthesisJob, fingerprint: str, size: int) -> None:
    # With another size, recordings that are finished already would have no annotations.
    content = json.dumps([describe_part(job.dataset), job.split, job.format, fingerprint, size])
    file = job.folder / _MAKING / "job.json"
    if file.is_file():
        if file.read_text("utf-8") == content:
            return
        raise DataError(
            f"{job.folder}: has recordings of another command: the data set, split, format or number differ, "
            "or its corpora have changed. Give the same command as before, or name a new folder."
        )
    if job.folder.is_dir() and any(job.folder.iterdir()):
        raise DataError(f"{job.folder}: the folder is not empty and is not overwritten. Name a new one.")
    file.parent.mkdir(parents=True)
    write_text_atomic(file, content)


def _finish(job: SynthesisJob, size: int) -> list[Path]:
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
