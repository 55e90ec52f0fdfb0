"""Tables of annotations: a row for each window, with the columns vid, query, start, end, duration and qid.

The columns may be in any order and in upper case, and others may stand between them. Queries may have no
`qid`, and recordings no `duration`; then the length comes from the recording itself.
"""

from __future__ import annotations

import re
from pathlib import Path

from amrbench.errors import DataError
from amrbench.files.delimited import Columns, parse_table
from amrbench.files.jsonl import shown
from amrbench.files.labels import Label, Remarks
from amrbench.files.seconds import TimeCells, read_seconds

NEEDED = ("vid", "query", "start", "end")
COLUMNS = (*NEEDED, "duration", "qid")
_HINT = (
    "It needs vid, query, start, end and duration, and may have qid; duration may be left out if --audio "
    "names the folder of the recordings."
)
_OTHER_NAMES = {
    "vid": (
        *("filename", "file", "file name", "file_name", "video_id", "video", "recording", "audio"),
        *("audio_filename", "audio_id", "youtube_id", "ytid", "yid", "begin file", "id"),
    ),
    "query": ("sentence", "caption", "text", "event_label", "label", "annotation", "description", "class"),
    "start": ("onset", "start_time", "begin", "begin_time", "start (s)", "begin time (s)", "from"),
    "end": ("offset", "end_time", "stop", "end (s)", "end time (s)", "to"),
    "duration": ("length", "total_duration", "audio_duration", "seconds"),
}
_FLOAT = re.compile(r"[0-9]+\.0+")


def parse_annotation_table(path: Path, text: str, remarks: Remarks, *, audio: bool) -> list[Label]:
    """Return the labels in the text of a table.

    Args:
        path: Its file, for messages.
        text: The text of the file.
        remarks: Gets what people must know of the table.
        audio: Whether lengths can be taken from the recordings.

    Raises:
        DataError: A column is missing, a row does not fit the header, or a cell is wrong.
    """
    needed = NEEDED if audio else (*NEEDED, "duration")
    table = parse_table(path, text, Columns(COLUMNS, needed, _OTHER_NAMES, _HINT))
    timed = slice(2, 5 if "duration" in table.columns else 4)
    cells = TimeCells(path, COLUMNS[timed], [(line, row[timed]) for line, row in table.rows])
    labels = []
    for (line, row), (start, end, *duration) in zip(table.rows, read_seconds(cells, remarks), strict=True):
        qid = row[-1]
        if _FLOAT.fullmatch(qid):
            raise DataError(
                f"{path}, line {line}: qid is {shown(qid)}, a decimal number, as whole numbers become if "
                "some are missing. Give text or a whole number."
            )
        labels.append(Label(path, line, row[0], row[1], start, end, duration[0] if duration else None, qid))
    table.remark_unread(COLUMNS, remarks)
    return labels
