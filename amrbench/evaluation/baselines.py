"""Predictions that ignore audio and text: the last rows of every table, for comparison."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from amrbench.types import Moments, Query

FIRST_SECONDS = 10.0


def fixed_window(queries: Iterable[Query], start: float, end: float) -> list[Moments]:
    """Predict the same window for every query, clipped to its recording.

    Args:
        queries: The queries to predict for.
        start: Start of the window in seconds.
        end: End of the window in seconds.
    """
    if not 0 <= start <= end:
        raise ValueError(f"not a window inside a recording: {start} to {end}")
    return [_one_window(query, min(start, query.duration), min(end, query.duration)) for query in queries]


def whole_recording(queries: Iterable[Query]) -> list[Moments]:
    """Predict the whole recording for every query."""
    return [_one_window(query, 0.0, query.duration) for query in queries]


def baseline_predictions(queries: Iterable[Query]) -> dict[str, list[Moments]]:
    """Return the predictions of each baseline by the name of its row."""
    listed = list(queries)
    return {
        f"always 0-{FIRST_SECONDS:g} s": fixed_window(listed, 0.0, FIRST_SECONDS),
        "whole recording": whole_recording(listed),
    }


def _one_window(query: Query, start: float, end: float) -> Moments:
    return Moments(query.qid, query.vid, np.array([[start, end]]))
