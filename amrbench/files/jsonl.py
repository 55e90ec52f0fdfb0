"""JSON Lines files: strict reading that reports every mistake, and atomic writing."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from amrbench.errors import DataError, did_you_mean, unreadable
from amrbench.files.atomic import atomic_path

T = TypeVar("T")
Row = Mapping[str, Any]
"""The object of one line."""
SHOWN_MISTAKES = 10
NUMBERS = frozenset({int, float})
"""The types of a JSON number; bool is not one of them."""
LARGEST = sys.float_info.max
"""The largest finite number. Comparing with it also excludes NaN and integers too large for a float."""


@dataclass(frozen=True)
class KeyRule:
    """A rule for the value of one key.

    Attributes:
        key: The key in the row.
        fault: Returns what is wrong with a value, or an empty string.
        remedy: What to write instead, as the end of a sentence.
        required: Whether each row must have the key; a similar key in its place is refused in any case.
    """

    key: str
    fault: Callable[[Any], str]
    remedy: str
    required: bool = True

    def fault_in(self, row: Row) -> str:
        """Return how a row breaks the rule, and the remedy; or an empty string."""
        if self.key not in row:
            near = did_you_mean(self.key, row)
            return f'"{self.key}" is missing; {self.remedy}.{near}' if self.required or near else ""
        fault = self.fault(row[self.key])
        return f'"{self.key}" {fault}; {self.remedy}.' if fault else ""


def read_rows(path: Path, rules: Sequence[KeyRule], make: Callable[[Row], T], *, unique: str) -> list[T]:
    """Read a file with one JSON object on each line, and convert each; blank lines are skipped.

    Args:
        path: The file.
        rules: What each row must keep to.
        make: Converts a row that breaks no rule.
        unique: A key whose value, as text, no two lines may share.

    Raises:
        DataError: Anything is wrong with the file; the text names each line, key, value and remedy.
    """
    items: list[T] = []
    mistakes: list[str] = []
    first_line: dict[str, int] = {}
    with collector_paused():
        # str.splitlines would also split at U+2028 and similar characters, which a JSON string may contain.
        for number, text in enumerate(_text(path).split("\n"), start=1):
            if not text or text.isspace():
                continue
            try:
                row = _parse(text)
            except ValueError as error:
                mistakes.append(f"{path}:{number}: {error}")
                continue
            faults = [fault for rule in rules if (fault := rule.fault_in(row))]
            if not faults and (first := first_line.setdefault(str(row[unique]), number)) != number:
                value = shown(row[unique])
                faults = [f'"{unique}" {value} is already on line {first}; keep one line for each.']
            mistakes += [f"{path}:{number}: {fault}" for fault in faults]
            if not faults:
                items.append(make(row))
    refuse_mistakes(path, mistakes)
    if not items:
        raise DataError(f"{path}: the file is empty; it must hold one JSON object on each line.")
    return items


def refuse_mistakes(path: Path, mistakes: Sequence[str]) -> None:
    """Raise DataError with the first mistakes of a file and the number of the others, if there are any."""
    if mistakes:
        rest = len(mistakes) - SHOWN_MISTAKES
        more = [f"{path}: {rest} more mistakes."] if rest > 0 else []
        raise DataError("\n".join([*mistakes[:SHOWN_MISTAKES], *more]))


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a JSON Lines file, whole or not at all.

    Raises:
        DataError: The folder is missing or cannot be written to.
    """
    try:
        with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}). Check the folder.") from error


def shown(value: object) -> str:
    """Return a value for a message: its JSON, cut to 60 characters."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


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


def list_fault(value: object, is_item: Callable[[Any], bool]) -> str:
    """Return why a value is not a list of valid items, or an empty string."""
    if type(value) is not list:
        return f"is {shown(value)}, not a list"
    wrong = next((index for index, item in enumerate(value) if not is_item(item)), None)
    return "" if wrong is None else f"holds {shown(value[wrong])} at position {wrong + 1}"


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector.

    A large file makes millions of new objects without cycles. Visiting them again and again takes the
    collector several times as long as the parsing.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise DataError(
            f"{path}:{line}: byte {byte:#04x} is not UTF-8 text; save the file as plain UTF-8 JSON Lines."
        ) from None


def _parse(text: str) -> dict[str, Any]:
    """Return the object of a line; ValueError if it is not one."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error}); each line must hold one complete JSON object.") from None
    if type(row) is not dict:
        raise ValueError(f"{shown(row)} is not an object; each line must hold one JSON object {{...}}.")
    return row
