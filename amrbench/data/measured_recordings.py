"""Recordings that are measured before features are made of them; a fault that shows later costs hours."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from amrbench.data.audio import AudioFile, open_audio
from amrbench.data.audio_lengths import other_lengths
from amrbench.data.feature_source import matches_duration
from amrbench.data.resample import resampled_length
from amrbench.data.shards import fills_a_row
from amrbench.data.worker_pool import Progress, Report
from amrbench.errors import DataError, some
from amrbench.notes import note
from amrbench.slots.features import FeatureBackend


def measured(files: Mapping[str, Path], name: str, report: Report) -> dict[str, AudioFile]:
    """Return the recordings of some files; DataError if one is damaged.

    Args:
        files: By id.
        name: Of what they are, for the progress.
        report: Called after each file.
    """
    recordings = {}
    for number, (vid, path) in enumerate(files.items(), start=1):
        recordings[vid] = open_audio(path)
        report(Progress(f"{name}: measuring", number, len(files)))
    return recordings


def refuse_short(recordings: Collection[AudioFile], backend: FeatureBackend) -> None:
    """Raise DataError if recordings are too short for a feature row."""
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


def refuse_other_durations(
    recordings: Mapping[str, AudioFile], durations: Mapping[str, float], backend: FeatureBackend
) -> None:
    """Raise DataError if recordings cannot be those that are annotated; smaller differences are noted.

    Args:
        recordings: By id.
        durations: Annotated seconds by id.
        backend: The encoder.
    """
    other = other_lengths(recordings.items(), durations)
    if not other:
        return
    text = f"{len(other):,} of {len(recordings):,} recordings are not as long as annotated: {some(other, 3)}"
    if all(
        matches_duration(int(file.seconds / backend.hop), durations[vid], backend.hop)
        for vid, file in recordings.items()
    ):
        note(f"{text}.")
        return
    raise DataError(f"{text}. Download them again, or correct their durations.")
