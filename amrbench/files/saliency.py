"""Saliency files: how relevant each feature row of a recording is to a query, one query on each line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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
    shown,
    text_fault,
    write_rows,
)
from amrbench.types import Rows

VALUES, HOP = "pred_saliency_scores", "hop"
DECIMALS = 4


@dataclass(frozen=True, eq=False)
class Saliency:
    """What a model says of each row for one query.

    Attributes:
        qid: Identifier of the query.
        vid: Identifier of the recording.
        hop: Seconds between two rows.
        values: (T,) higher is more relevant.
    """

    qid: str | int
    vid: str
    hop: float
    values: Rows


def read_saliency(path: Path) -> list[Saliency]:
    """Read a saliency file; each line needs `qid`, `vid`, `hop` and `pred_saliency_scores`: [value, ...].

    Raises:
        DataError: Anything is wrong with the file; the text names each line, key, value and remedy.
    """
    return read_rows(path, _RULES, _saliency, unique="qid")


def write_saliency(path: Path, saliency: Iterable[Saliency]) -> None:
    """Write a saliency file with four decimals, whole or not at all.

    Raises:
        DataError: The file cannot be written.
    """
    write_rows(path, map(_row, saliency))


def _hop_fault(value: object) -> str:
    positive = type(value) in NUMBERS and 0 < value <= LARGEST  # type: ignore[operator]
    return "" if positive else f"is {shown(value)}, not a positive number"


def _values_fault(value: object) -> str:
    return list_fault(value, _is_value)


def _is_value(value: Any) -> bool:
    return type(value) in NUMBERS and -LARGEST <= value <= LARGEST


_RULES = (
    KeyRule("qid", id_fault, "give the query's id as the annotations have it"),
    KeyRule("vid", text_fault, "give the id of the recording as text"),
    KeyRule(HOP, _hop_fault, "give the seconds between two feature rows"),
    KeyRule(VALUES, _values_fault, "give a finite number for each feature row"),
)


def _saliency(row: Row) -> Saliency:
    return Saliency(row["qid"], row["vid"], float(row[HOP]), np.array(row[VALUES], dtype=np.float32))


def _row(saliency: Saliency) -> Row:
    values = [round(value, DECIMALS) for value in saliency.values.tolist()]
    return {"qid": saliency.qid, "vid": saliency.vid, HOP: saliency.hop, VALUES: values}
