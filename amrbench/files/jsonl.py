"""JSON Lines files: strict reading with every mistake named, atomic writing."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeVar

from amrbench.errors import DataError, did_you_mean
from amrbench.files.atomic import atomic_path

T = TypeVar("T")
SHOWN_MISTAKES = 10
NUMBERS = frozenset({int, float})
"""The types of a JSON number; `true` and `false` are not among them."""
LARGEST = sys.float_info.max
"""No finite number is larger; comparing with it also refuses NaN, and integers too large for a float."""


@dataclass(frozen=True, slots=True)
class JsonLine:
    """One object of a file and the line (from 1) where it stands."""

    number: int
    row: Mapping[str, object]


@dataclass(frozen=True)
class KeyRule:
    """What the value of one key must be.

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
    """Collects what is wrong with a file, so that all of it is told at once."""

    path: Path
    found: list[str] = field(default_factory=list)
    first_line: dict[str, int] = field(default_factory=dict)

    def add(self, line: int, text: str) -> None:
        """Note one mistake of one line."""
        self.found.append(f"{self.path}:{line}: {text}")

    def check(self, line: JsonLine, rules: Iterable[KeyRule]) -> bool:
        """Apply rules to a line, note what fails, and say whether all held."""
        before = len(self.found)
        for rule in rules:
            if rule.key not in line.row:
                near = did_you_mean(rule.key, line.row)
                self.add(line.number, f'"{rule.key}" is missing; {rule.remedy}.{near}')
            elif fault := rule.fault(line.row[rule.key]):
                self.add(line.number, f'"{rule.key}" {fault}; {rule.remedy}.')
        return len(self.found) == before

    def check_unique(self, line: JsonLine, key: str) -> bool:
        """Note a line whose value of `key`, taken as text, an earlier line already has."""
        first = self.first_line.setdefault(str(line.row[key]), line.number)
        if first == line.number:
            return True
        value = shown(line.row[key])
        self.add(line.number, f'"{key}" {value} already stands on line {first}; keep one line for each.')
        return False

    def stop_if_any(self) -> None:
        """Raise one error with the first mistakes and the number of the rest.

        Raises:
            DataError: At least one mistake was noted.
        """
        if not self.found:
            return
        rest = len(self.found) - SHOWN_MISTAKES
        more = [f"{self.path}: {rest} more mistakes."] if rest > 0 else []
        raise DataError("\n".join(self.found[:SHOWN_MISTAKES] + more))


def read_as(
    path: Path, is_sound: Callable[[JsonLine, Mistakes], bool], make: Callable[[Mapping[str, object]], T]
) -> list[T]:
    """Read a file and make something of each line.

    Args:
        path: The file.
        is_sound: Notes what is wrong with a line and says whether nothing is.
        make: Makes something of the row of a sound line.

    Raises:
        DataError: Anything is wrong with the file; the text names each line, key, value and remedy.
    """
    mistakes = Mistakes(path)
    with collector_paused():
        made = [make(line.row) for line in read_lines(path, mistakes) if is_sound(line, mistakes)]
    mistakes.stop_if_any()
    return made


def shown(value: object) -> str:
    """A value as it stands in a message: its JSON, cut to a readable length."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector.

    A large file makes millions of young objects that form no cycles; walking them again and again costs
    several times the parsing itself.
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

    Lines that are no JSON object are noted in `mistakes` and left out. One object at a time is alive unless
    the caller keeps them.

    Raises:
        DataError: The file cannot be read, is not UTF-8, or holds nothing.
    """
    # str.splitlines would also cut at U+2028 and its kin, which may stand inside a JSON string.
    texts = enumerate(_text(path).split("\n"), start=1)
    filled = ((number, text) for number, text in texts if text and not text.isspace())
    number = 0
    for number, text in filled:
        yield from _parse(number, text, mistakes)
    if not number:
        raise DataError(f"{path}: the file is empty; it must hold one JSON object on each line.")


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write a JSON Lines file so that a reader sees the old file or the whole new one.

    Raises:
        DataError: The folder is missing or cannot be written to.
    """
    try:
        with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}). KeyRule the folder.") from error


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). KeyRule the path.") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse_encoding(path, data, error.start)


def _refuse_encoding(path: Path, data: bytes, place: int) -> NoReturn:
    line = data.count(b"\n", 0, place) + 1
    raise DataError(
        f"{path}:{line}: byte {data[place]:#04x} is not UTF-8 text; save the file as plain UTF-8 JSON Lines."
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
