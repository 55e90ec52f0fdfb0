"""Prediction files: the predicted moments of one query on each line, best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from amrbench.files.annotations import id_fault, list_fault, text_fault
from amrbench.files.jsonl import LARGEST, NUMBERS, JsonLine, KeyRule, Mistakes, read_as, write_rows
from amrbench.types import Floats, Moments

WINDOWS = "pred_relevant_windows"
DECIMALS = 4


def read_predictions(path: Path) -> list[Moments]:
    """Read a prediction file.

    Each line needs `qid`, `vid` and `pred_relevant_windows`: [[start, end, score], ...] or [[start, end],
    ...], best first. In one line, all windows have a score or none has. Without scores, windows are ranked by
    their order in the list. Other keys are ignored.

    Raises:
        DataError: Anything is wrong with the file; the text names each line, key, value and remedy.
    """
    return read_as(Path(path), _is_sound, _moments)


def write_predictions(path: Path, predictions: Iterable[Moments]) -> None:
    """Write a prediction file, whole or not at all, with four decimals as in the reference.

    The metrics of the file are those of the `rounded` predictions.

    Raises:
        DataError: The file cannot be written.
    """
    write_rows(Path(path), map(_row, predictions))


def rounded(moments: Moments) -> Moments:
    """Return the moments as they are after writing and reading a file."""
    scores = None if moments.scores is None else np.array(_round(moments.scores))
    windows = np.array(_round(moments.windows.ravel())).reshape(-1, 2)
    return replace(moments, windows=windows, scores=scores)


def _windows_fault(value: object) -> str:
    if fault := list_fault(value, _is_window):
        return fault
    return "mixes windows with and without a score" if len(set(map(len, value))) > 1 else ""  # type: ignore[call-overload]


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


def _is_sound(line: JsonLine, mistakes: Mistakes) -> bool:
    return mistakes.check(line, _RULES) and mistakes.check_unique(line, "qid")


def _moments(row: Mapping[str, Any]) -> Moments:
    windows = row[WINDOWS]
    table = np.array(windows, dtype=np.float64).reshape(-1, len(windows[0]) if windows else 2)
    scores = table[:, 2] if table.shape[1] == 3 else None
    return Moments(row["qid"], row["vid"], table[:, :2], scores)


def _row(moments: Moments) -> dict[str, object]:
    columns = [moments.windows[:, 0], moments.windows[:, 1]]
    if moments.scores is not None:
        columns.append(moments.scores)
    sentence = {"query": moments.query} if moments.query else {}
    windows = [list(window) for window in zip(*map(_round, columns), strict=True)]
    return {"qid": moments.qid, **sentence, "vid": moments.vid, WINDOWS: windows}


def _round(values: Floats) -> list[float]:
    # By formatting, as in the reference: scaling and rounding binary numbers gives other results at ties.
    return [float(f"{value:.{DECIMALS}f}") for value in values.tolist()]
