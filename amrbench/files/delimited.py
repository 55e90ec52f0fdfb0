"""Tables as text: a header and rows, with cells separated by tabs, semicolons or commas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from operator import itemgetter
from pathlib import Path

from amrbench.errors import DataError, some
from amrbench.files.jsonl import COUNTED_MISTAKES, refuse_mistakes, shown
from amrbench.files.labels import Remarks

SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
_EXCEL = "sep="
"""Excel names the separator in a first line such as `sep=;`."""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        path: Its file.
        columns: Names of all columns as written, by their normalized names.
        rows: Line and cells of each row that is not blank; the cells are those of the columns that the table
            was read for, in their order, empty where the table has no such column.
        unnamed: The first line with a cell in a column without a name; 0 if there is none.
    """

    path: Path
    columns: Mapping[str, str]
    rows: Sequence[tuple[int, tuple[str, ...]]]
    unnamed: int = 0

    def remark_unread(self, known: Sequence[str], remarks: Remarks) -> None:
        """Add remarks on the columns that are not among some known ones."""
        if unread := [name for key, name in self.columns.items() if key not in known]:
            remarks.add(str(self.path), f"the columns {some(unread)} are not read.")
        if self.unnamed:
            text = "cells in columns without a name are not read."
            remarks.add(f"{self.path}, line {self.unnamed}", text)


@dataclass(frozen=True)
class Columns:
    """The columns that a table is read for, by normalized names.

    Attributes:
        known: All of them.
        needed: Those that the table must have.
        other_names: Names that other tables use for them.
        hint: What the table needs, as a sentence.
    """

    known: Sequence[str]
    needed: Sequence[str]
    other_names: Mapping[str, Sequence[str]]
    hint: str

    def refuse_missing(self, path: Path, columns: Mapping[str, str]) -> None:
        """Raise DataError if the columns of a table lack some."""
        missing = [name for name in self.needed if name not in columns]
        if not missing:
            return
        present = [name for name in columns if name not in self.known]
        near = {name: _near(name, self.other_names.get(name, ()), present) for name in missing}
        renamed = [f"{columns[other]!r} to {name!r}" for name, other in near.items() if other]
        remedy = f" Rename {', '.join(renamed)}." if renamed else ""
        if len(columns) == 1:
            remedy = " Separate them by tabs, semicolons or commas."
        raise DataError(
            f"{path}: has no column {', '.join(missing)}. {self.hint} Its columns are "
            f"{some(columns.values(), 12)}.{remedy}"
        )


def normalized(name: str) -> str:
    r"""Return a name of a column in lower case, with single spaces.

    >>> normalized(" Begin  Time (s)")
    'begin time (s)'
    """
    return " ".join(name.split()).casefold()


def separator_of(text: str, known: Sequence[str]) -> tuple[str, int]:
    """Return the separator of a table, and how many of some known columns its header has.

    Args:
        text: The text of the table.
        known: Normalized names of columns; the separator that shows most of them is the one.
    """
    counts = {}
    for separator in SEPARATORS:
        try:
            header = next((cells for _, cells in _rows(text, separator, quoted=True)), [])
        except _RowError:
            header = []  # Quotation marks fit the right separator alone.
        names = {normalized(cell) for cell in header}
        counts[separator] = (len(names.intersection(known)), len(header))
    best = max(counts, key=lambda separator: counts[separator])
    return best, counts[best][0]


def parse_table(path: Path, text: str, columns: Columns, *, quoted: bool = True) -> Table:
    """Return the table in a text.

    Args:
        path: Its file, for messages.
        text: The text of the file.
        columns: What it is read for; other columns may be left out of a row.
        quoted: Whether cells may be put in quotation marks.

    Raises:
        DataError: A column is missing, two columns have one name, or a row does not fit the header.
    """
    separator, _ = separator_of(text, columns.known)
    rows = _rows(text, separator, quoted=quoted)
    unnamed = 0
    try:
        header = next((cells for _, cells in rows), [])
        if not header:
            raise DataError(f"{path}: is empty. {columns.hint}")
        written = _written_names(path, header)
        columns.refuse_missing(path, written)
        named = header[: max(index + 1 for index, name in enumerate(header) if name)]
        fitting = _Header([normalized(name) for name in named], SEPARATORS[separator], columns.known)
        mistakes: list[str] = []
        read = []
        for line, cells in rows:
            if not (fault := fitting.fault(cells)):
                read.append((line, fitting.known_cells(cells)))
                unnamed = unnamed or (line if fitting.has_unnamed(cells) else 0)
            elif len(mistakes) < COUNTED_MISTAKES:
                mistakes.append(f"{path}, line {line}: {fault}")
    except _RowError as error:
        raise DataError(f"{path}, {error}") from error
    refuse_mistakes(path, mistakes)
    return Table(path, written, read, unnamed)


class _RowError(ValueError):
    """A row that cannot be taken apart; the text names its line and the remedy."""


def _rows(text: str, separator: str, *, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each row that is not blank; `_RowError` for one that is wrong."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        skipinitialspace=True,
        strict=True,
    )
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise _RowError(f"line {line}: {_fault(error)}") from None
        if any(cells) and not (line == 1 and text[: len(_EXCEL)].lower() == _EXCEL):
            yield line, cells


def _fault(error: csv.Error) -> str:
    """Return what is wrong with a row, and what to do."""
    if "field limit" in str(error):
        return (
            f"a cell has more than {csv.field_size_limit():,} characters. Shorten it; if it begins with a "
            "quotation mark, close the mark."
        )
    return f"the quotation marks do not fit ({error}). Close each mark, or double those inside a text."


def _written_names(path: Path, header: Sequence[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for name in filter(None, header):
        if (key := normalized(name)) in columns:
            raise DataError(f"{path}: has the columns {columns[key]!r} and {name!r}. Give each its own name.")
        columns[key] = name
    return columns


class _Header:
    """The header of a table, which rows must fit."""

    def __init__(self, names: Sequence[str], separators: str, known: Sequence[str]) -> None:
        self._names = names
        self._separators = separators
        indices = [names.index(name) if name in names else -1 for name in known]
        self._least = max(indices) + 1
        self._known = itemgetter(*indices)
        self._unnamed = [index for index, name in enumerate(names) if not name]

    def fault(self, cells: Sequence[str]) -> str:
        """Return how a row does not fit, or an empty string."""
        if stray := next(filter(None, cells[len(self._names) :]), ""):
            return (
                f"has the cell {shown(stray)} under no column: it has {len(cells)} cells, and the header "
                f"{len(self._names)}. Put a text or number that has {self._separators} in quotation marks."
            )
        if len(cells) < self._least:
            return f"has {len(cells)} of {len(self._names)} cells, separated by {self._separators}."
        return ""

    def has_unnamed(self, cells: Sequence[str]) -> bool:
        """Whether a row has a cell in a column without a name."""
        return any(index < len(cells) and cells[index] for index in self._unnamed)

    def known_cells(self, cells: Sequence[str]) -> tuple[str, ...]:
        """Return the cells of the known columns of a row that fits."""
        own: tuple[str, ...] = self._known([*cells, ""])
        return own


def _near(name: str, other_names: Sequence[str], present: Sequence[str]) -> str:
    known = next((other for other in other_names if other in present), "")
    return known or next(iter(get_close_matches(name, present, n=1, cutoff=0.6)), "")
