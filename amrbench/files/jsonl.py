"""JSON Lines files: strict reading that reports every mistake, and atomic writing."""

from __future__ import annotations

import gc
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from amrbench.errors import DataError, nearest
from amrbench.files.atomic import atomic_path
from amrbench.files.text_file import decode_text, read_bytes

T = TypeVar("T")
Row = Mapping[str, Any]
"""The object of one line."""
SHOWN_MISTAKES = 10
COUNTED_MISTAKES = 1000
"""Reading ends after this many lines with mistakes: a file of another kind may have millions."""
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

    def fault_in(self, row: Row, known: Collection[str]) -> str:
        """Return how a row breaks the rule, and the remedy; or an empty string.

        Args:
            row: The object of a line.
            known: Keys that have rules, so that none of them is this one misspelt.
        """
        if self.key not in row:
            near = nearest(self.key, (key for key in row if key not in known))
            rename = f"rename {near!r} to it, or " if near else ""
            return f'"{self.key}" is missing; {rename}{self.remedy}.' if self.required or near else ""
        fault = self.fault(row[self.key])
        return f'"{self.key}" {fault}; {self.remedy}.' if fault else ""


def row_faults(row: Row, rules: Sequence[KeyRule]) -> list[str]:
    """Return how a row breaks rules, each with the remedy; none if it keeps to all."""
    known = {rule.key for rule in rules}
    return [fault for rule in rules if (fault := rule.fault_in(row, known))]


def read_rows(
    path: Path,
    rules: Sequence[KeyRule],
    make: Callable[[Row], T],
    *,
    unique: str,
    data: bytes | None = None,
    other: Callable[[Row], str] = lambda _: "",
) -> list[T]:
    """Read a file with one JSON object on each line, and convert each; blank lines are skipped.

    Args:
        path: The file.
        rules: What each row must keep to.
        make: Converts a row that breaks no rule.
        unique: A key whose value, as text, no two lines may share.
        data: The content of the file, if it was read already: a pipe can be read only once.
        other: Returns which other file this is, by its first row, and the remedy; or an empty string.

    Raises:
        DataError: Anything is wrong with the file; the text names each line, key, value and remedy.
    """
    items: list[T] = []
    mistakes: list[str] = []
    first_line: dict[str, int] = {}
    text = decode_text(path, read_bytes(path) if data is None else data)
    _refuse_other_forms(path, text, other)
    with collector_paused():
        for number, line in _lines(text):
            try:
                row = _parse(line)
            except ValueError as error:
                faults = [str(error)]
            else:
                faults = row_faults(row, rules)
                if not faults and (first := first_line.setdefault(str(row[unique]), number)) != number:
                    value = shown(row[unique])
                    faults = [f'"{unique}" {value} is already on line {first}; keep one line for each.']
            mistakes += [f"{path}:{number}: {fault}" for fault in faults]
            if len(mistakes) >= COUNTED_MISTAKES:
                break
            if not faults:
                items.append(make(row))
    refuse_mistakes(path, mistakes)
    if not items:
        raise DataError(f"{path}: the file is empty; it must hold one JSON object on each line.")
    return items


def parse_json(text: str) -> Any:
    """Return the value of a JSON text; ValueError if it is none, or an object has a key twice."""
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError(str(error)) from None


def refuse_mistakes(path: Path, mistakes: Iterable[str]) -> None:
    """Raise DataError with the first mistakes of a file and the number of the others, if there are any."""
    if mistakes := list(islice(mistakes, COUNTED_MISTAKES)):
        rest = len(mistakes) - SHOWN_MISTAKES
        least = "at least " if len(mistakes) >= COUNTED_MISTAKES else ""
        more = [f"{path}: {least}{rest} more mistakes."] if rest > 0 else []
        raise DataError("\n".join([*mistakes[:SHOWN_MISTAKES], *more]))


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a JSON Lines file, whole or not at all.

    Raises:
        DataError: The folder is missing or cannot be written to, or the name promises compression.
    """
    if path.suffix.lower() == ".gz":
        raise DataError(f"{path}: files are written without compression. Leave out {path.suffix}.")
    try:
        with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}). Check the folder and the disk."
        ) from error


def shown(value: object) -> str:
    """Return a value for a message: its JSON, cut to 60 characters."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def id_fault(value: object) -> str:
    """Return why a value is not a query id (text or a whole number), or an empty string."""
    if type(value) is float:
        pandas = " (pandas writes whole numbers so if some are missing)" if value.is_integer() else ""
        return f"is {shown(value)}, not text or a whole number{pandas}"
    return "" if type(value) is int else text_fault(value)


def text_fault(value: object) -> str:
    """Return why a value is not text that can be written, or an empty string."""
    if type(value) is not str:
        return f"is {shown(value)}, not text"
    if not value.strip():
        return "is blank"
    if "\0" in value:
        return f"holds a NUL character ({shown(value)})"
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


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line that is not blank."""
    number, position = 1, 0
    # Lines end at line feeds alone: a JSON string may contain U+2028 and similar characters.
    for match in _LINE.finditer(text):
        number += text.count("\n", position, match.start())
        position = match.start()
        yield number, match.group()


def _parse(text: str) -> dict[str, Any]:
    """Return the object of a line; ValueError if it is not one."""
    try:
        row = parse_json(text)
    except _RepeatedKeyError as error:
        raise ValueError(f"{error}; keep one.") from None
    except ValueError as error:
        raise ValueError(f"not JSON ({error}); each line must hold one complete JSON object.") from None
    if type(row) is not dict:
        raise ValueError(f"{shown(row)} is not an object; each line must hold one JSON object {{...}}.")
    return row


def _refuse_other_forms(path: Path, text: str, other: Callable[[Row], str]) -> None:
    """Raise DataError if a text is not lines of JSON at all: a table, an array, objects on several lines.

    Or if it is another file by its first object; `other` is that of `read_rows`.
    """
    number, line = next(_lines(text), (1, "{}"))
    if line[0] not in "{[":
        raise DataError(
            f"{path}:{number}: not JSON ({shown(line)}); each line must hold one complete JSON object. "
            "Tables and label files are converted by 'amrbench data convert'."
        )
    try:
        start = text.index(line)
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        if line.rstrip() not in _OPENED:
            return  # The mistakes of the lines say more.
        value, end = _OPENED[line.rstrip()], len(text)
    if type(value) is list and not text[end:].strip():
        castella = any(type(item) is dict and "yid" in item for item in value)
        remedy = "with 'amrbench data convert'" if castella else "e.g. with: jq -c '.[]'"
        raise DataError(
            f"{path}: is one JSON array, not JSON Lines, which have one object on each line. Convert it, "
            f"{remedy}."
        )
    if "\n" in text[start:end].rstrip():
        raise DataError(
            f"{path}:{number}: the JSON goes on over several lines (it is pretty-printed); each line must "
            "hold one complete object. Convert the file, e.g. with: jq -c ."
        )
    if type(value) is dict and (fault := other(value)):
        raise DataError(f"{path}: {fault}")


class _RepeatedKeyError(ValueError):
    """An object has a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise _RepeatedKeyError(f"the key {shown(key)} occurs twice")
    return row


_OPENED: dict[str, Any] = {"{": {}, "[": [], "[{": []}
"""First lines of values that go on."""
_LINE = re.compile(r"[^\s\ufeff][^\n]*")
_DECODER = json.JSONDecoder(object_pairs_hook=_object)
