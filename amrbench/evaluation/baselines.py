"""Predictions that ignore audio and text: the last rows of every table, for comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from amrbench.types import Floats, Moments, Query

if TYPE_CHECKING:
    from amrbench.evaluation.result import Row

_END = {"always 0-10 s": 10.0, "whole recording": math.inf}
"""End of the predicted window in seconds, by the name of the baseline; all windows start at 0."""
_MODELS = {"seed", "soup", "single"}
"""Kinds of rows with trained weights of their own."""


def baseline_predictions(queries: Sequence[Query]) -> dict[str, list[Moments]]:
    """Return the predictions of each baseline by the name of its row: a window inside each recording."""
    return {
        name: [
            Moments(query.qid, query.vid, window[None])
            for query, window in zip(queries, windows, strict=True)
        ]
        for name, windows in baseline_windows(queries).items()
    }


def baseline_windows(queries: Sequence[Query]) -> dict[str, Floats]:
    """Return (Q, 2) the predicted window of each query in seconds, by the name of the baseline."""
    duration = np.array([query.duration for query in queries])
    ends = {name: np.minimum(end, duration) for name, end in _END.items()}
    return {name: np.column_stack([np.zeros(len(queries)), end]) for name, end in ends.items()}


def weak_rows(rows: Sequence[Row], metric: str) -> str:
    """Return a sentence about the models that score no higher than a baseline; empty if there are none.

    Args:
        rows: Of a run.
        metric: The one that chose its epochs; R1@0.7 is used if tables do not have it.
    """
    scored = {row.member: row for row in rows if row.metrics}
    name = metric if all(metric in row.metrics for row in scored.values()) else "R1@0.7"
    priors = {row.member: row.metrics[name] for row in scored.values() if row.kind == "prior"}
    if not priors:
        return ""
    best = max(priors, key=lambda member: priors[member])
    weak = [
        f"{row.member!r} ({row.metrics[name]:.2f})"
        for row in scored.values()
        if row.kind in _MODELS and row.metrics[name] <= priors[best]
    ]
    if not weak:
        return ""
    more = f" and {len(weak) - 3} more" if len(weak) > 3 else ""
    return (
        f"models that score no higher at {name} than the row {best!r} ({priors[best]:.2f}), which ignores "
        f"audio and text: {', '.join(weak[:3])}{more}. The training was too short, or failed."
    )
