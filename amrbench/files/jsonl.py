"""JSON Lines files: strict reading that reports every mistake, and atomic writing."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from amrbench.errors import DataError, did_you_mean
from amrbench.files.atomic import atomic_path

T = TypeVar("T")
SHOWN_MISTAKES = 10
NUMBERS = frozenset({int, float})
"""The types of a JSON number; bool is not one of them."""
LARGEST = sys.float_info.max
"""The largest finite number. Comparing with it also excludes NaN and integers too large for a float."""


@dataclass(frozen=True, slots=True)
class JsonLine:
    """One object of a file and the number of its line, from 1."""

    number: int
    row: Mapping[str, object]


@dataclass(frozen=True)
class KeyRule:
    """A rule for the value of one key.

    Attributes:
        key: The key in the row.
        fault: Returns what is wrong with a value, or an empty string.
        remedy: What to write instead, as the end of a sentence.
    """

    key: str
    fault: Callable[[object], str]
    remedy: str


@dataclass
class Mistakes:
    """Collects the mistakes of a file, so that all are reported together."""

    path: Path
    messages: list[str] = field(default_factory=list)
    first_line: dict[str, int] = field(default_factory=dict)
    """By the id that `check_unique` has seen on it."""

    def add(self, line: int, text: str) -> None:
        """Add a mistake of one line."""
        self.messages.append(f"{self.path}:{line}: {text}")

    def check(self, line: JsonLine, rules: Iterable[KeyRule]) -> bool:
        """Add the mistakes of a line according to some rules; return True if there are none."""
        before = len(self.messages)
        for rule in rules:
            if rule.key not in line.row:
                near = did_you_mean(rule.key, line.row)
                self.add(line.number, f'"{rule.key}" is missing; {rule.remedy}.{near}')
            elif fault := rule.fault(line.row[rule.key]):
                self.add(line.number, f'"{rule.key}" {fault}; {rule.remedy}.')
        return len(self.messages) == before

    def check_unique(self, line: JsonLine, key: str) -> bool:
        """Return True if no earlier line has the same value of `key`, as text; else add a mistake."""
        first = self.first_line.setdefault(str(line.row[key]), line.number)
        if first == line.number:
            return True
        value = shown(line.row[key])
        self.add(line.number, f'"{key}" {value} is already on line {first}; keep one line for each.')
        return False

    def stop_if_any(self) -> None:
        """Raise one error with the first mistakes and the number of the others.

        Raises:
            DataError: There is at least one mistake.
        """
        if not self.messages:
            return
        rest = len(self.messages) - SHOWN_MISTAKES
        more = [f"{self.path}: {rest} more mistakes."] if rest > 0 else []
        raise DataError("\n".join(self.messages[:SHOWN_MISTAKES] + more))


def read_as(
    path: Path, is_sound: Callable[[JsonLine, Mistakes], bool], make: Callable[[Mapping[str, object]], T]
) -> list[T]:
    """Read a file and convert each line.

    Args:
        path: The file.
        is_sound: Adds the mistakes of a line; returns True if there are none.
        make: Converts the object of a line without mistakes.

    Raises:
        DataError: Anything is wrong with the file; the text names each line, key, value and remedy.
    """
    mistakes = Mistakes(path)
    with collector_paused():
        items = [make(line.row) for line in read_lines(path, mistakes) if is_sound(line, mistakes)]
    mistakes.stop_if_any()
    return items


def shown(value: object) -> str:
    """Return a value for a message: its JSON, cut to 60 characters."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


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


def read_lines(path: Path, mistakes: Mistakes) -> Iterator[JsonLine]:
    """Yield every object of a JSON Lines file; blank lines are skipped.

    A line that is not a JSON object is added to `mistakes` and left out. Only one object is in memory unless
    the caller keeps them.

    Raises:
        DataError: The file cannot be read, is not UTF-8, or is empty.
    """
    # str.splitlines would also split at U+2028 and similar characters, which a JSON string may contain.
    texts = enumerate(_text(path).split("\n"), start=1)
    filled = ((number, text) for number, text in texts if text and not text.isspace())
    number = 0
    for number, text in filled:
        yield from _parse(number, text, mistakes)
    if not number:
        raise DataError(f"{path}: the file is empty; it must hold one JSON object on each line.")


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write a JSON Lines file, whole or not at all.

    Raises:
        DataError: The folder is missing or cannot be written to.
    """
    try:
        with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}). Check the folder.") from error


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise DataError(
            f"{path}:{line}: byte {byte:#04x} is not UTF-8 text; save the file as plain UTF-8 JSON Lines."
        ) from None


def _parse(number: int, text: str, mistakes: Mistakes) -> Iterator[JsonLine]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        mistakes.add(number, f"not JSON ({error}); each line must hold one complete JSON object.")
        return
    if type(row) is dict:
        yield JsonLine(number, row)
    else:
        mistakes.add(number, f"{shown(row)} is not an object; each line must hold one JSON object {{...}}.")
