"""Raven selection tables: a row for each selection, and in each row its times and annotation.

Raven Pro writes a row of a selection for each view (waveform and spectrogram). Times count from the beginning
of what was opened, which may be several recordings one after another; "File Offset (s)" counts from the
beginning of the recording. BirdNET writes such tables too.
"""

from __future__ import annotations

import re
from pathlib import Path

from amrbench.errors import DataError, some
from amrbench.files.delimited import Columns, Table, parse_table, separator_of
from amrbench.files.jsonl import refuse_mistakes, shown
from amrbench.files.labels import Label, Remarks
from amrbench.files.seconds import TimeCells, read_seconds

BEGIN, END, OFFSET = "begin time (s)", "end time (s)", "file offset (s)"
TIMES = (BEGIN, END)
SENTENCES = (
    *("query", "sentence", "caption", "annotation", "annotations", "label", "common name", "species"),
    *("species code", "sound type", "call type", "class", "tags", "comments", "notes"),
)
"""Columns with sentences; the first that a table has is read."""
_KNOWN = (*TIMES, OFFSET, "selection", "begin file", "begin path", "end file", "end path", *SENTENCES)
_SELECTION = 3
_BEGINS, _ENDS = slice(4, 6), slice(6, 8)
"""Where these columns are in `_KNOWN`."""
_HINT = "A Raven selection table needs Begin Time (s), End Time (s) and a column of annotations."
_DECIMALS = 9


def is_raven_table(text: str) -> bool:
    """Whether the header of a table has times as in selection tables."""
    return separator_of(text, TIMES)[1] > 0


def parse_raven_table(path: Path, text: str, remarks: Remarks) -> list[Label]:
    """Return the labels in the text of a selection table.

    Args:
        path: Its file, for messages.
        text: The text of the file.
        remarks: Gets what people must know of the table.

    Raises:
        DataError: A column is missing, a cell is wrong, the rows of a selection differ, or it is not clear in
            which recording a selection is.
    """
    quoted = separator_of(text, _KNOWN)[0] != "\t"
    table = parse_table(path, text, Columns(_KNOWN, TIMES, {}, _HINT), quoted=quoted)
    sentence = _KNOWN.index(_sentence_column(table, remarks))
    recordings = _recordings(table)
    timed = slice(0, 3 if OFFSET in table.columns else 2)
    names = [table.columns[name] for name in _KNOWN[timed]]
    cells = TimeCells(path, names, [(line, row[timed]) for line, row in table.rows])
    labels: list[Label] = []
    first: dict[tuple[str, str], Label] = {}
    mistakes = []
    for (line, row), vid, (begin, end, *offset) in zip(
        table.rows, recordings, read_seconds(cells, remarks), strict=True
    ):
        if offset and offset[0] != begin:
            begin, end = offset[0], round(offset[0] + end - begin, _DECIMALS)
        label = Label(path, line, vid, row[sentence], begin, end)
        number = row[_SELECTION]
        other = first.setdefault((vid, number), label) if number else label
        if other is label:
            labels.append(label)
        elif (other.query, other.start, other.end) != (label.query, label.start, label.end):
            mistakes.append(
                f"{label.location}: selection {number} differs from that on line {other.line}. Give each its "
                "own number."
            )
    refuse_mistakes(path, mistakes)
    return labels


def _sentence_column(table: Table, remarks: Remarks) -> str:
    columns = [name for name in SENTENCES if name in table.columns]
    if not columns:
        raise DataError(
            f"{table.path}: has no column of annotations. Call it Annotation. Its columns are "
            f"{some(table.columns.values(), 12)}."
        )
    read, *others = (table.columns[name] for name in columns)
    if others:
        text = f"sentences are read from the column {read!r}, not from {', '.join(map(repr, others))}."
        remarks.add(str(table.path), text)
    return columns[0]


def _recordings(table: Table) -> list[str]:
    """Return the name of the file of each selection, without folders; empty where the table does not say.

    Raises:
        DataError: A selection ends in another file, or times do not count from the beginning of each file.
    """
    begins, ends = ([_name(row[files]) for _, row in table.rows] for files in (_BEGINS, _ENDS))
    mistakes = (
        f"{table.path}, line {line}: begins in {shown(begin)} and ends in {shown(end)}. Split the selection."
        for (line, _), begin, end in zip(table.rows, begins, ends, strict=True)
        if end not in ("", begin)
    )
    refuse_mistakes(table.path, mistakes)
    different = set(begins)
    if OFFSET not in table.columns and len(different) > 1:
        raise DataError(
            f"{table.path}: has selections in {len(different)} recordings, but no column File Offset (s) "
            "with times that count from the beginning of each. Add it in Raven, and save the table again."
        )
    return begins


def _name(files: tuple[str, ...]) -> str:
    """Return the name of the first of some files that is given, without folders of any system."""
    return re.split(r"[/\\]", next(filter(None, files), ""))[-1]
