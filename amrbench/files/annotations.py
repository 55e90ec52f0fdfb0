"""Annotation files: one query on each line, with its ground-truth windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from amrbench.errors import DataError
from amrbench.files.jsonl import (
    LARGEST,
    NUMBERS,
    KeyRule,
    Row,
    id_fault,
    list_fault,
    read_rows,
    row_faults,
    shown,
    text_fault,
    write_rows,
)
from amrbench.files.text_file import read_bytes
from amrbench.files.typed_lines import EXACT, Objects, are_ids, are_texts, read_typed, window_table
from amrbench.types import Query

WINDOWS = "relevant_windows"
LONGEST_NAME = 200
_FILE_NAME = (
    f"use 1 to {LONGEST_NAME} bytes without '/', '\\' or control characters, not '.' or '..' and no drive "
    "letter"
)


def read_annotations(path: Path, further: Sequence[KeyRule] = ()) -> list[Query]:
    """Read an annotation file in the published JSON Lines format.

    Each line needs `qid`, `query`, `vid` and `duration`. `relevant_windows` is missing in evaluation sets
    whose ground truth is not public. Unknown keys are kept.

    Args:
        path: The file.
        further: Further rules for each line, e.g. `NAMES_OF_FILES`.

    Raises:
        DataError: Anything is wrong with the file; the text names each line, key, value and remedy.
    """
    data = read_bytes(path)
    queries = None if further else read_typed(data, _Keys, _typed_queries)
    if queries is None:
        rules = [*_RULES, *further]
        return read_rows(path, rules, _query, unique="qid", data=data, other=_predictions_fault)
    return queries


def write_annotations(path: Path, queries: Iterable[Query]) -> None:
    """Write an annotation file in the published format, whole or not at all.

    Raises:
        DataError: The file cannot be written.
    """
    write_rows(path, map(_row, queries))


def faults_of(query: Query) -> list[str]:
    """Return why `read_annotations` would refuse a query: key, value and remedy of each fault."""
    row = _row(query)
    return row_faults(row, _RULES)


def safe_id(identifier: str | int) -> str:
    """Return an identifier as text that is a valid file name on any system.

    Raises:
        DataError: It is empty, too long, `.` or `..`, or has a path separator, drive letter or control
            character.
    """
    if fault := file_name_fault(identifier):
        raise DataError(fault)
    return str(identifier)


def file_name_fault(identifier: str | int) -> str:
    """Return why an identifier cannot be a file name (see `safe_id`), or an empty string."""
    if _is_file_name(identifier):
        return ""
    return f"id {shown(identifier)} cannot be the name of a file; {_FILE_NAME}."


def _predictions_fault(row: Row) -> str:
    """Return what to do if a row is that of predictions, or an empty string."""
    if WINDOWS in row or "pred_relevant_windows" not in row:
        return ""
    return (
        f'this file has predictions ("pred_relevant_windows"), where annotations ("{WINDOWS}") are needed. '
        "Exchange the two files, or give the file of the annotations."
    )


def _is_file_name(identifier: str | int) -> bool:
    text = str(identifier)
    drive = text[1:2] == ":"
    unsafe = drive or text in ("", ".", "..") or any(char in "/\\" or not char.isprintable() for char in text)
    return not unsafe and len(text.encode("utf-8", "replace")) <= LONGEST_NAME


def _is_window(value: object) -> bool:
    if type(value) is not list or len(value) != 2 or not NUMBERS.issuperset(map(type, value)):
        return False
    return bool(0 <= value[0] <= value[1] <= LARGEST)


_RULES = (
    KeyRule("qid", id_fault, "give text or a whole number that no other line has"),
    KeyRule("query", text_fault, "give the sentence that is asked"),
    KeyRule("vid", text_fault, "give the id of the recording as text"),
    KeyRule(
        "duration",
        lambda value: "" if type(value) in NUMBERS and 0 < value <= LARGEST else f"is {shown(value)}",
        "give the length of the recording in seconds, above 0",
    ),
    KeyRule(
        WINDOWS,
        lambda value: list_fault(value, _is_window),
        "give [[start, end], ...] in seconds with 0 <= start <= end",
        required=False,
    ),
)


def _name_rule(key: str) -> KeyRule:
    def fault(value: object) -> str:
        named = not isinstance(value, str | int) or _is_file_name(value)
        return "" if named else f"is {shown(value)}, which cannot be the name of a file"

    return KeyRule(key, fault, _FILE_NAME)


NAMES_OF_FILES = (_name_rule("qid"), _name_rule("vid"))
"""Rules for annotations whose features are in files that are named by ids."""
_KNOWN = frozenset(rule.key for rule in _RULES)


def _query(row: Row) -> Query:
    return Query(
        qid=row["qid"],
        query=row["query"],
        vid=row["vid"],
        duration=float(row["duration"]),
        windows=tuple((float(start), float(end)) for start, end in row.get(WINDOWS, ())),
        extra={key: value for key, value in row.items() if key not in _KNOWN},
    )


class _Keys(msgspec.Struct, gc=False):
    """A line for `read_typed`; an id of type float is a fault."""

    qid: str | int | float
    query: str
    vid: str
    duration: float
    relevant_windows: tuple[tuple[float, float], ...] | msgspec.UnsetType = msgspec.UNSET


def _typed_queries(lines: list[_Keys], objects: Objects) -> list[Query] | None:
    """Return what `_query` returns for each line; None if lines break a rule, or may have misspelt a key."""
    windows = [() if line.relevant_windows is msgspec.UNSET else line.relevant_windows for line in lines]
    if objects and any(line.relevant_windows is msgspec.UNSET for line in lines):
        return None
    table = window_table(windows, 2)
    usable = (
        table is not None
        and (table >= 0).all()
        and all(0 < line.duration < EXACT for line in lines)
        and are_ids([line.qid for line in lines])
        and are_texts([line.query for line in lines])
        and are_texts([line.vid for line in lines])
    )
    if not usable:
        return None
    extra = [{key: row[key] for key in row if key not in _KNOWN} for row in objects] or [{} for _ in lines]
    return [
        Query(line.qid, line.query, line.vid, line.duration, own, more)  # type: ignore[arg-type]
        for line, own, more in zip(lines, windows, extra, strict=True)
    ]


def _row(query: Query) -> Row:
    windows = [[_number(start), _number(end)] for start, end in query.windows]
    known = {"qid": query.qid, "query": query.query, "duration": _number(query.duration), "vid": query.vid}
    return {**known, WINDOWS: windows, **query.extra}


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else float(value)
