"""Write recordings of a data set as audio files, for people to listen to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from amrbench.annotations import Query, safe_id, write_annotations
from amrbench.data.prepare import Progress, size_of
from amrbench.errors import DataError
from amrbench.slots import DatasetPart, Recording

FORMATS = ("flac", "wav")
ANNOTATIONS = "annotations.jsonl"


def synthesize(
    dataset: DatasetPart,
    split: str,
    count: int,
    folder: Path,
    *,
    form: str = "flac",
    tell: Callable[[Progress], None],
) -> list[Path]:
    """Write the first recordings of a split and `annotations.jsonl` with their queries.

    Args:
        dataset: The data set.
        split: One of its splits.
        count: Number of recordings, cut to those that there are.
        folder: A folder that is missing or empty.
        form: "flac" or "wav", both with 16 bits.
        tell: Called after each recording.

    Returns:
        The audio files.

    Raises:
        DataError: There is no such split or format, the folder holds something, or cannot be written to.
    """
    if form not in FORMATS:
        raise DataError(f"audio format {form!r} is not known; use {' or '.join(FORMATS)}.")
    built = dataset.build()
    size = min(count, size_of(built, dataset.use, split))
    files: list[Path] = []
    queries: list[Query] = []
    try:
        _empty(folder)
        for index in range(size):
            recording = built.recording(split, index)
            files.append(_write(folder, recording, form))
            queries += recording.queries
            tell(Progress(f"{dataset.use} {split}: audio files", index + 1, size))
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error}). Choose another folder.") from error
    write_annotations(folder / ANNOTATIONS, queries)
    return files


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise DataError(
            f"{folder}: the folder is not empty, and nothing in it is overwritten. Name a new one."
        )


def _write(folder: Path, recording: Recording, form: str) -> Path:
    path = folder / f"{safe_id(recording.vid)}.{form}"
    samples = np.clip(recording.waveform, -1.0, 1.0)
    try:
        soundfile.write(path, samples, recording.rate, subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: cannot be written ({error}). Check the folder and the disk.") from error
    return path
