"""Write recordings of a data set as audio files, with their annotations and where they came from.

A folder that is being written has a folder `.making` with a line for each recording that is finished, so a
work that was broken off goes on; it goes when everything is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import soundfile

from amrbench.annotations import read_annotations, safe_id, write_annotations
from amrbench.data.prepare import Progress, size_of
from amrbench.data.shards import dataset_of, named
from amrbench.data.workers import worker_pool
from amrbench.errors import DataError, RunError
from amrbench.files.whole import in_place_of, write_whole
from amrbench.slots import DatasetPart, Recording

FORMATS = ("flac", "wav")
ANNOTATIONS = "annotations.jsonl"
MANIFEST = "manifest.jsonl"
_MAKING = ".making"


@runtime_checkable
class Sourced(Protocol):
    """A recording that knows where it came from."""

    @property
    def provenance(self) -> Mapping[str, object]:
        """Return sources, licences, places and levels, as JSON can hold them."""


@dataclass(frozen=True)
class Order:
    """What shall be written.

    Attributes:
        dataset: The data set.
        split: One of its splits.
        count: Number of recordings; None for all.
        folder: Missing, empty, or left by the same work when it was broken off.
        form: "flac" or "wav", both with 16 bits.
    """

    dataset: DatasetPart
    split: str
    count: int | None
    folder: Path
    form: str = "flac"


def synthesize(order: Order, *, jobs: int = 1, tell: Callable[[Progress], None]) -> list[Path]:
    """Write the first recordings of a split, `annotations.jsonl` and, if it is known, `manifest.jsonl`.

    Args:
        order: What shall be written.
        jobs: Worker processes; without influence on the result.
        tell: Called after each recording.

    Returns:
        The audio files.

    Raises:
        DataError: There is no such split or format, the folder holds something else or cannot be written to,
            or what the data set is made of is missing or damaged.
        RunError: A worker process was killed.
    """
    if order.form not in FORMATS:
        raise DataError(f"audio format {order.form!r} is not known; use {' or '.join(FORMATS)}.")
    built = order.dataset.build()
    total = size_of(built, order.dataset.use, order.split)
    size = total if order.count is None else min(order.count, total)
    try:
        _open(order, built.fingerprint(), size)
        _write_all(order, size, jobs, tell)
        return _close(order, size)
    except OSError as error:
        raise DataError(f"{order.folder}: cannot be written ({error}). Choose another folder.") from error
    except BrokenProcessPool as error:
        raise RunError(
            f"{order.folder}: a worker process that writes recordings ended unasked; was it killed, or is "
            "memory short? What it finished is kept: give the same command again."
        ) from error


def write_one(order: Order, index: int) -> None:
    """Write a recording and then its line; meant for a worker process."""
    recording = dataset_of(order.dataset).recording(order.split, index)
    name = f"{safe_id(recording.vid)}.{order.form}"
    _write_audio(order.folder / name, recording, order.form)
    queries = order.folder / _MAKING / f"{index:06d}.queries.jsonl"
    write_annotations(queries, recording.queries)
    source = recording.provenance if isinstance(recording, Sourced) else None
    write_whole(_line(order, index), json.dumps({"file": name, "provenance": source}))


def _write_all(order: Order, size: int, jobs: int, tell: Callable[[Progress], None]) -> None:
    missing = [index for index in range(size) if not _line(order, index).is_file()]
    done = size - len(missing)
    with worker_pool(jobs) as pool:
        futures = [pool.submit(write_one, order, index) for index in missing]
        try:
            for future in as_completed(futures):
                future.result()
                done += 1
                tell(Progress(f"{order.dataset.use} {order.split}: audio files", done, size))
        finally:
            for future in futures:
                future.cancel()


def _open(order: Order, fingerprint: str, size: int) -> None:
    # With the number, for fewer recordings would leave audio of the rest that no annotation names.
    said = json.dumps([named(order.dataset), order.split, order.form, fingerprint, size])
    mark = order.folder / _MAKING / "order.json"
    if mark.is_file():
        if mark.read_text("utf-8") == said:
            return
        raise DataError(
            f"{order.folder}: holds what is finished of other recordings: of another data set, split, format "
            "or number, or of corpora that have changed. Give the same command as then, or name a new folder."
        )
    if order.folder.is_dir() and any(order.folder.iterdir()):
        raise DataError(
            f"{order.folder}: the folder is not empty, and nothing in it is overwritten. Name a new one."
        )
    mark.parent.mkdir(parents=True)
    write_whole(mark, said)


def _close(order: Order, size: int) -> list[Path]:
    lines: list[dict[str, Any]] = [
        json.loads(_line(order, index).read_text("utf-8")) for index in range(size)
    ]
    parts = [order.folder / _MAKING / f"{index:06d}.queries.jsonl" for index in range(size)]
    queries = [query for part in parts if part.stat().st_size for query in read_annotations(part)]
    write_annotations(order.folder / ANNOTATIONS, queries)
    sources = [line["provenance"] for line in lines if line["provenance"] is not None]
    if sources:
        text = "".join(json.dumps(source, ensure_ascii=False) + "\n" for source in sources)
        write_whole(order.folder / MANIFEST, text)
    shutil.rmtree(order.folder / _MAKING)
    return [order.folder / line["file"] for line in lines]


def _line(order: Order, index: int) -> Path:
    return order.folder / _MAKING / f"{index:06d}.json"


def _write_audio(path: Path, recording: Recording, form: str) -> None:
    samples = np.clip(recording.waveform, -1.0, 1.0)
    try:
        with in_place_of(path) as part:
            soundfile.write(part, samples, recording.rate, subtype="PCM_16", format=form.upper())
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: cannot be written ({error}). Check the folder and the disk.") from error
