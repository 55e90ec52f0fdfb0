"""Answers that listen to nothing: the rows that show what a table's figures are worth."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from amrbench.types import Moments, Query

FIRST_SECONDS = 10.0


def fixed_window(queries: Iterable[Query], start: float, end: float) -> list[Moments]:
    """Answer every query with the same window, clipped to its recording.

    Args:
        queries: The queries to answer.
        start: Start of the window in seconds.
        end: End of the window in seconds.
    """
    if not 0 <= start <= end:
        raise ValueError(f"not a window inside a recording: {start} to {end}")
    return [_one(query, min(start, query.duration), min(end, query.duration)) for query in queries]


def whole_recording(queries: Iterable[Query]) -> list[Moments]:
    """Answer every query with its whole recording."""
    return [_one(query, 0.0, query.duration) for query in queries]


def baseline_predictions(queries: Iterable[Query]) -> dict[str, list[Moments]]:
    """The answers that stand beside every table, by the name of their row."""
    asked = list(queries)
    first = f"always 0-{FIRST_SECONDS:g} s"
    return {first: fixed_window(asked, 0.0, FIRST_SECONDS), "whole recording": whole_recording(asked)}


def _one(query: Query, start: float, end: float) -> Moments:
    return Moments(query.qid, query.vid, np.array([[start, end]]))
