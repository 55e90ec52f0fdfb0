"""Prediction files: the predicted moments of one query on each line, best first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import msgspec
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
from amrbench.files.text_file import read_bytes
from amrbench.files.typed_lines import Objects, are_ids, are_texts, read_typed, window_table
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
    data = read_bytes(path)
    predictions = read_typed(data, _Keys, _typed_moments)
    if predictions is None:
        return read_rows(path, _RULES, _moments, unique="qid", data=data, other=_annotations_fault)
    return predictions


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


def _annotations_fault(row: Row) -> str:
    """Return what to do if a row is that of annotations, or an empty string."""
    if WINDOWS in row or not {"relevant_windows", "duration"} <= row.keys():
        return ""
    return (
        f'this file has annotations ("relevant_windows"), where predictions ("{WINDOWS}") are needed. '
        "Exchange the two files, or give the file of the predictions."
    )


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


class _Keys(msgspec.Struct, gc=False):
    """A line for `read_typed`; an id of type float is a fault."""

    qid: str | int | float
    vid: str
    pred_relevant_windows: list[list[float]]
    query: str | msgspec.UnsetType = msgspec.UNSET


def _typed_moments(lines: list[_Keys], _: Objects) -> list[Moments] | None:
    """Return what `_moments` returns for each line; None if lines break a rule or not all have scores."""
    listed = [line.pred_relevant_windows for line in lines]
    widths = set(map(len, chain.from_iterable(listed)))
    if widths not in ({2}, {3}) or not are_ids([line.qid for line in lines]):
        return None
    (width,) = widths
    table = window_table(listed, width)
    if table is None or not are_texts([line.vid for line in lines]):
        return None
    windows, scores, ends = table[:, :2], table[:, -1], np.cumsum([0, *map(len, listed)]).tolist()
    return [
        Moments(
            line.qid,  # type: ignore[arg-type]  # `are_ids` has checked it.
            line.vid,
            windows[first:last],
            scores[first:last] if width == 3 and first < last else None,
            "" if line.query is msgspec.UNSET else line.query,
        )
        for line, (first, last) in zip(lines, pairwise(ends), strict=True)
    ]


def _row(moments: Moments) -> Row:
    moments = rounded(moments)
    scores = () if moments.scores is None else (moments.scores,)
    windows = np.column_stack([moments.windows, *scores]).tolist()
    sentence = {"query": moments.query} if moments.query else {}
    return {"qid": moments.qid, **sentence, "vid": moments.vid, WINDOWS: windows}


def _round(values: Floats) -> Floats:
    # By formatting, as in the reference: scaling and rounding binary numbers gives other results at ties.
    return np.array([float(f"{value:.{DECIMALS}f}") for value in values.tolist()], dtype=np.float64)
