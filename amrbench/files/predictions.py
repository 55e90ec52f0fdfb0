"""Prediction files: the predicted moments of one query on each line, best first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from amrbench.files.jsonl import (
    LARGEST,
    NUMBERS,
    KeyRule,
    Row,
    id_fault,
    list_fault,
    read_rows,
    text_fault,
    write_rows,
)
from amrbench.types import Floats, Moments

WINDOWS = "pred_relevant_windows"
DECIMALS = 4


def read_predictions(path: Path) -> list[Moments]:
    """Read a prediction file.

    Each line needs `qid`, `vid` and `pred_relevant_windows`: [[start, end, score], ...] or [[start, end],
    ...], best first. In one line, all windows have a score or none has. Without scores, windows are ranked by
    their order in the list. `query`, the sentence, may be there too; other keys are ignored.

    Raises:
        DataError: Anything is wrong with the file; the text names each line, key, value and remedy.
    """
    return read_rows(path, _RULES, _moments, unique="qid")


def write_predictions(path: Path, predictions: Iterable[Moments]) -> None:
    """Write a prediction file of the `rounded` predictions, whole or not at all.

    Raises:
        DataError: The file cannot be written.
    """
    write_rows(path, map(_row, predictions))


def rounded(moments: Moments) -> Moments:
    """Return the moments with four decimals, as the reference writes them."""
    scores = None if moments.scores is None else _round(moments.scores)
    return replace(moments, windows=_round(moments.windows.ravel()).reshape(-1, 2), scores=scores)


def _windows_fault(value: Any) -> str:
    fault = list_fault(value, _is_window)
    return fault or ("mixes windows with and without a score" if len(set(map(len, value))) > 1 else "")


def _is_window(value: object) -> bool:
    if type(value) is not list or len(value) not in (2, 3) or not NUMBERS.issuperset(map(type, value)):
        return False
    return bool(-LARGEST <= value[0] <= value[1] <= LARGEST and -LARGEST <= value[-1] <= LARGEST)


_RULES = (
    KeyRule("qid", id_fault, "give the query's id as the annotations have it"),
    KeyRule("vid", text_fault, "give the id of the recording as text"),
    KeyRule(
        WINDOWS,
        _windows_fault,
        "give [[start, end, score], ...] of finite numbers with start <= end, "
        "with a score for each window of the line or for none",
    ),
)


def _moments(row: Row) -> Moments:
    windows = row[WINDOWS]
    table = np.array(windows, dtype=np.float64).reshape(-1, len(windows[0]) if windows else 2)
    scores = table[:, 2] if table.shape[1] == 3 else None
    sentence = row.get("query")
    query = sentence if isinstance(sentence, str) else ""
    return Moments(row["qid"], row["vid"], table[:, :2], scores, query)


def _row(moments: Moments) -> Row:
    moments = rounded(moments)
    scores = () if moments.scores is None else (moments.scores,)
    windows = np.column_stack([moments.windows, *scores]).tolist()
    sentence = {"query": moments.query} if moments.query else {}
    return {"qid": moments.qid, **sentence, "vid": moments.vid, WINDOWS: windows}


def _round(values: Floats) -> Floats:
    # By formatting, as in the reference: scaling and rounding binary numbers gives other results at ties.
    return np.array([float(f"{value:.{DECIMALS}f}") for value in values.tolist()], dtype=np.float64)
