"""Seconds in the cells of tables: decimal points, or decimal commas where they are unambiguous.

Only plain numbers are read. `1:30` may be minutes or hours, `1,500` one and a half or fifteen hundred, and
Python itself would read `1_0`, `nan` and the digits of other scripts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from amrbench.errors import DataError
from amrbench.files.jsonl import refuse_mistakes, shown
from amrbench.files.labels import Remarks

_POINT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")
_THOUSANDS = re.compile(r"[-+]?[1-9][0-9]{0,2},[0-9]{3}")
_CLOCK = re.compile(r"[0-9]+(:[0-9]{1,2}){1,2}([.,][0-9]*)?")


@dataclass(frozen=True)
class TimeCells:
    """The cells of a file that must hold seconds.

    Attributes:
        path: The file.
        names: What the cells of each row are, e.g. "start" and "end".
        rows: Line and texts of each row.
    """

    path: Path
    names: Sequence[str]
    rows: Sequence[tuple[int, Sequence[str]]]

    def located(self, chosen: Callable[[str], object]) -> Iterator[tuple[int, str, str]]:
        """Yield line, name and text of the cells whose text is chosen."""
        for line, texts in self.rows:
            for name, text in zip(self.names, texts, strict=True):
                if chosen(text):
                    yield line, name, text


def read_seconds(cells: TimeCells, remarks: Remarks) -> list[list[float]]:
    """Return the seconds in the cells of each row; a remark says if there are decimal commas.

    Raises:
        DataError: A cell is no plain number, or commas are mixed with points or may separate thousands.
    """
    values = {text: _value(text) for text in {text for _, texts in cells.rows for text in texts}}
    commas = [text for text in values if _COMMA.fullmatch(text)]
    if commas:
        line, name, text = next(cells.located(_COMMA.fullmatch))
        where = f"{cells.path}, line {line}: {name} is {shown(text)}"
        if point := next(cells.located(lambda other: "." in other), None):
            raise DataError(
                f"{where} and on line {point[0]} {point[1]} is {shown(point[2])}. Write all decimals with "
                "points."
            )
        if all(map(_THOUSANDS.fullmatch, commas)):
            raise DataError(
                f"{where}, and the comma may separate decimals or thousands. Write decimals with points."
            )
        remarks.add(f"{cells.path}, line {line}", "decimal commas are read as decimal points.")
    mistakes = (
        f"{cells.path}, line {line}: {name} is {shown(text)}, not a number of seconds.{_remedy(text)}"
        for line, name, text in cells.located(lambda text: not math.isfinite(values[text]))
    )
    refuse_mistakes(cells.path, mistakes)
    return [[values[text] for text in texts] for _, texts in cells.rows]


def _value(text: str) -> float:
    """Return a number of seconds, or NaN if the text is none."""
    plain = text.replace(",", ".") if _COMMA.fullmatch(text) else text
    return float(plain) if _POINT.fullmatch(plain) else math.nan


def _remedy(text: str) -> str:
    return " Write minutes as seconds: 90 for 1:30." if _CLOCK.fullmatch(text) else ""
