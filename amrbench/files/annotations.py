"""Annotation files: one query per line, with the windows where it is heard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from amrbench.errors import DataError, did_you_mean
from amrbench.files.jsonl import LARGEST, NUMBERS, JsonLine, KeyRule, Mistakes, read_as, shown, write_rows
from amrbench.types import Query

WINDOWS = "relevant_windows"
LONGEST_NAME = 200


def read_annotations(path: Path) -> list[Query]:
    """Read an annotation file in the published JSON Lines format.

    Needs `qid`, `query`, `vid` and `duration` on each line; `relevant_windows` is missing in evaluation
    sets without public answers. Unknown keys are kept.

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
    """Say why `read_annotations` would refuse a query that is to be written: key, value and remedy."""
    row = _row(query)
    found = [(rule, rule.fault(row[rule.key])) for rule in _REQUIRED + _ANSWERS]
    return [f'"{rule.key}" {fault}; {rule.remedy}.' for rule, fault in found if fault]


def safe_id(identifier: str | int) -> str:
    """Return an identifier as text that is safe as the name of a file in any folder.

    Raises:
        DataError: It is empty, too long, `.` or `..`, or holds a path separator or control character.
    """
    text = str(identifier)
    drive = text[1:2] == ":"
    unsafe = drive or text in ("", ".", "..") or any(mark in "/\\" or not mark.isprintable() for mark in text)
    if unsafe or len(text.encode("utf-8", "replace")) > LONGEST_NAME:
        raise DataError(
            f"id {shown(identifier)} cannot be the name of a file; use 1 to {LONGEST_NAME} bytes "
            "without '/', '\\' or control characters, not '.' or '..' and no drive letter."
        )
    return text


def id_fault(value: object) -> str:
    """Say why a value cannot identify a query (text or a whole number can)."""
    return "" if type(value) is int else text_fault(value)


def text_fault(value: object) -> str:
    """Say why a value is no readable text."""
    if type(value) is not str:
        return f"is {shown(value)}, not text"
    if not value.strip():
        return "is blank"
    # Checked this way round because nearly all text is plain, and then it takes no time.
    halves = not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value)
    return f"holds half of a letter, which no file can hold ({shown(value)})" if halves else ""


def _duration_fault(value: object) -> str:
    return "" if type(value) in NUMBERS and 0 < value <= LARGEST else f"is {shown(value)}"  # type: ignore[operator]


def _windows_fault(value: object) -> str:
    if type(value) is not list:
        return f"is {shown(value)}, not a list"
    wrong = next((place for place, window in enumerate(value) if not _is_window(window)), None)
    return "" if wrong is None else f"holds {shown(value[wrong])} at place {wrong + 1}"


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
_ANSWERS = (KeyRule(WINDOWS, _windows_fault, "give [[start, end], ...] in seconds with 0 <= start <= end"),)


def _is_sound(line: JsonLine, mistakes: Mistakes) -> bool:
    # A misspelt key would otherwise pass as a set without public answers.
    answered = WINDOWS in line.row or did_you_mean(WINDOWS, line.row)
    rules = _REQUIRED + _ANSWERS if answered else _REQUIRED
    return mistakes.check(line, rules) and mistakes.check_unique(line, "qid")


_KNOWN = frozenset({"qid", "query", "vid", "duration", WINDOWS})


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
