"""The lengths of recordings, compared with what is annotated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from amrbench.data.audio import AudioFile

_ROUNDING = 1.0
"""Seconds by which annotated durations may differ, because published ones are rounded."""
_TOLERANCE = 0.01
"""Fraction by which durations of long recordings may differ."""


def other_lengths(files: Iterable[tuple[str, AudioFile]], durations: Mapping[str, float]) -> list[str]:
    """Return which recordings are not as long as annotated, with both lengths.

    Args:
        files: Recordings by their ids.
        durations: Annotated seconds by id; recordings that are not annotated are left out.
    """
    return [
        f"{file.path}: {file.seconds:.1f} s, annotated {durations[vid]:g} s"
        for vid, file in files
        if vid in durations and differs(file.seconds, durations[vid])
    ]


def differs(seconds: float, duration: float) -> bool:
    """Whether a recording of some seconds cannot be the one with an annotated duration."""
    return abs(seconds - duration) > max(_ROUNDING, _TOLERANCE * duration)
