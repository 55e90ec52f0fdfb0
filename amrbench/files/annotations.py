"""Annotation files: one query on each line, with its ground-truth windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from amrbench.errors import DataError, did_you_mean
from amrbench.files.jsonl import LARGEST, NUMBERS, JsonLine, KeyRule, Mistakes, read_as, shown, write_rows
from amrbench.types import Query

WINDOWS = "relevant_windows"
LONGEST_NAME = 200


def read_annotations(path: Path) -> list[Query]:
    """Read an annotation file in the published JSON Lines format.

    Each line needs `qid`, `query`, `vid` and `duration`. `relevant_windows` is missing in evaluation sets
    whose ground truth is not public. Unknown keys are kept.

    Raises:
        DataError: Anything is wrong with the file; the text names each line, key, value and remedy.
    """
    return read_as(Path(path), _is_sound, _query)


def write_annotations(path: Path, queries: Iterable[Query]) -> None:
    """Write an annotation file in the published format, whole or not at all.

    Raises:
        DataError: The file cannot be written.
    """
    write_rows(Path(path), map(_row, queries))


def faults_of(query: Query) -> list[str]:
    """Return why `read_annotations` would refuse a query: key, value and remedy of each fault."""
    row = _row(query)
    faults = [(rule, rule.fault(row[rule.key])) for rule in (*_REQUIRED, _GROUND_TRUTH)]
    return [f'"{rule.key}" {fault}; {rule.remedy}.' for rule, fault in faults if fault]


def safe_id(identifier: str | int) -> str:
    """Return an identifier as text that is a valid file name on any system.

    Raises:
        DataError: It is empty, too long, `.` or `..`, or has a path separator, drive letter or control
            character.
    """
    text = str(identifier)
    drive = text[1:2] == ":"
    unsafe = drive or text in ("", ".", "..") or any(char in "/\\" or not char.isprintable() for char in text)
    if unsafe or len(text.encode("utf-8", "replace")) > LONGEST_NAME:
        raise DataError(
            f"id {shown(identifier)} cannot be the name of a file; use 1 to {LONGEST_NAME} bytes "
            "without '/', '\\' or control characters, not '.' or '..' and no drive letter."
        )
    return text


def id_fault(value: object) -> str:
    """Return why a value is not a query id (text or a whole number), or an empty string."""
    return "" if type(value) is int else text_fault(value)


def text_fault(value: object) -> str:
    """Return why a value is not text that can be written, or an empty string."""
    if type(value) is not str:
        return f"is {shown(value)}, not text"
    if not value.strip():
        return "is blank"
    # ASCII is checked first, because it is fast and most text is ASCII.
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        return f"has a lone surrogate, which UTF-8 cannot encode ({shown(value)})"
    return ""


def list_fault(value: object, is_item: Callable[[object], bool]) -> str:
    """Return why a value is not a list of valid items, or an empty string."""
    if type(value) is not list:
        return f"is {shown(value)}, not a list"
    wrong = next((index for index, item in enumerate(value) if not is_item(item)), None)
    return "" if wrong is None else f"holds {shown(value[wrong])} at position {wrong + 1}"


def _duration_fault(value: object) -> str:
    return "" if type(value) in NUMBERS and 0 < value <= LARGEST else f"is {shown(value)}"  # type: ignore[operator]


def _is_window(value: object) -> bool:
    if type(value) is not list or len(value) != 2 or not NUMBERS.issuperset(map(type, value)):
        return False
    return bool(0 <= value[0] <= value[1] <= LARGEST)


_REQUIRED = (
    KeyRule("qid", id_fault, "give text or a whole number that no other line has"),
    KeyRule("query", text_fault, "give the sentence that is asked"),
    KeyRule("vid", text_fault, "give the id of the recording as text"),
    KeyRule("duration", _duration_fault, "give the length of the recording in seconds, above 0"),
)
_GROUND_TRUTH = KeyRule(
    WINDOWS,
    lambda value: list_fault(value, _is_window),
    "give [[start, end], ...] in seconds with 0 <= start <= end",
)
_KNOWN = frozenset({"qid", "query", "vid", "duration", WINDOWS})


def _is_sound(line: JsonLine, mistakes: Mistakes) -> bool:
    # With a misspelt key, a line must not pass as one without public ground truth.
    has_windows = WINDOWS in line.row or did_you_mean(WINDOWS, line.row)
    rules = (*_REQUIRED, _GROUND_TRUTH) if has_windows else _REQUIRED
    return mistakes.check(line, rules) and mistakes.check_unique(line, "qid")


def _query(row: Mapping[str, object]) -> Query:
    return Query(
        qid=row["qid"],  # type: ignore[arg-type]
        query=row["query"],  # type: ignore[arg-type]
        vid=row["vid"],  # type: ignore[arg-type]
        duration=float(row["duration"]),  # type: ignore[arg-type]
        windows=tuple((float(start), float(end)) for start, end in row.get(WINDOWS, ())),  # type: ignore[attr-defined]
        extra={key: value for key, value in row.items() if key not in _KNOWN},
    )


def _row(query: Query) -> dict[str, object]:
    windows = [[_number(start), _number(end)] for start, end in query.windows]
    known = {"qid": query.qid, "query": query.query, "duration": _number(query.duration), "vid": query.vid}
    return {**known, WINDOWS: windows, **query.extra}


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else float(value)
