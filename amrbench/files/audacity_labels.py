r"""Label files of Audacity: start, end and text of a label on each line, separated by tabs.

A line that begins with a backslash has the frequencies of the label before it, which annotations do not have.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from amrbench.files.jsonl import COUNTED_MISTAKES, refuse_mistakes
from amrbench.files.labels import Label, Remarks
from amrbench.files.seconds import TimeCells, read_seconds

_FREQUENCIES = 3
"""Cells of a line with frequencies: a backslash, the lowest and the highest."""


def parse_audacity_labels(path: Path, text: str, remarks: Remarks) -> list[Label]:
    """Return the labels in the text of a label file.

    Args:
        path: Its file, for messages.
        text: The text of the file.
        remarks: Gets what people must know of the file.

    Raises:
        DataError: A line does not have start, end and text.
    """
    rows: list[tuple[int, list[str]]] = []
    mistakes: list[str] = []
    # A text may contain U+2028 and similar characters, so lines end at line feeds alone.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line.isspace():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if cells[0] == "\\" and len(cells) == _FREQUENCIES:
            remarks.add(f"{path}, line {number}", "frequencies of labels are not read.")
        elif not (fault := _fault(cells)):
            rows.append((number, cells))
        elif len(mistakes) < COUNTED_MISTAKES:
            mistakes.append(f"{path}, line {number}: {fault}")
    refuse_mistakes(path, mistakes)
    times = TimeCells(path, ("start", "end"), [(number, cells[:2]) for number, cells in rows])
    return [
        Label(path, number, "", cells[2], start, end)
        for (number, cells), (start, end) in zip(rows, read_seconds(times, remarks), strict=True)
    ]


def audacity_labels_text(labels: Iterable[tuple[float, float, str]]) -> str:
    """Return the text of a label file with some labels: start and end in seconds, and text.

    Labels are in the order of time. Tabs and line ends in a text become spaces.
    """
    return "".join(
        f"{start:.6f}\t{end:.6f}\t{' '.join(text.split())}\n" for start, end, text in sorted(labels)
    )


def _fault(cells: list[str]) -> str:
    if len(cells) == 2 or (len(cells) == 3 and not cells[2]):
        return "the label has no text. Write the sentence after its end, separated by a tab."
    if len(cells) == 3:
        return ""
    count = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
    return f"has {count}, not start, end and text, separated by tabs."
