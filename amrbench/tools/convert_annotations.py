"""`amrbench data convert`: annotations in other formats, as JSON lines.

castella   JSON as in github.com/line/CASTELLA: a list of recordings with `yid`, `duration` and `moments`
csv        a table with columns vid, query, start, end, duration and, optionally, qid, one row for each window
audacity   label files of Audacity, one for each recording: start, end and text, separated by tabs
raven      selection tables of Raven, in each row Begin Time (s), End Time (s) and an annotation
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from amrbench.data.recording_files import RecordingFiles
from amrbench.errors import DataError
from amrbench.files.annotation_table import NEEDED, parse_annotation_table
from amrbench.files.annotations import faults_of, file_name_fault, write_annotations
from amrbench.files.atomic import refuse_filled, refuse_replacing
from amrbench.files.castella_json import parse_castella
from amrbench.files.delimited import separator_of
from amrbench.files.jsonl import collector_paused, refuse_mistakes
from amrbench.files.labels import Label, Remarks
from amrbench.files.raven_table import is_raven_table
from amrbench.files.text_file import read_text
from amrbench.files.writable_folder import refuse_missing_parent
from amrbench.notes import note
from amrbench.tools.join_labels import join_labels
from amrbench.tools.label_files import SUFFIX, RecordingLengths, label_files, parse_label_files
from amrbench.types import Query

FORMS = ("castella", "csv", "audacity", "raven")
_FORM_OF_SUFFIX = {".csv": "csv", ".tsv": "csv", ".tab": "csv", ".txt": "audacity"}
LARGEST_UNPACKED = 5_000_000
"""Bytes that a gzip file of labels may unpack to."""
_LINES = (".jsonl", ".ndjson")
_LABEL = re.compile(r"\s*[-+0-9.,eE]+[ ]*\t[ ]*[-+0-9.,eE]+[ ]*(\t|\n|\Z)")


def convert(source: Path, output: Path, *, form: str = "", audio: Path | None = None) -> int:
    """Write the annotations of a file as JSON lines.

    Args:
        source: A file, or a folder of label files.
        output: The file to write; new or empty, because people correct such files by hand.
        form: One of `FORMS`; empty to tell it from name and content of the source.
        audio: Folder of the recordings, where the source does not contain durations.

    Returns:
        The number of queries.

    Raises:
        DataError: The source is missing or wrong, or the output is a source or a recording, is filled
            already, or cannot be written.
    """
    if form and form not in FORMS:
        raise DataError(f"there is no form {form!r}. Use {', '.join(FORMS)}.")
    if not source.exists():
        raise DataError(f"{source}: there is no such file.")
    refuse_missing_parent(output)
    refuse_replacing(output, _inputs(source, audio))
    refuse_filled(output, "--output")
    with collector_paused():
        queries = _queries(source, form, audio)
    if not queries:
        raise DataError(f"{source}: has no queries.")
    _refuse_unsound(source, queries)
    write_annotations(output, queries)
    return len(queries)


def form_of(path: Path, text: str) -> str:
    """Return the form of a file, from its content, or from its name where the content fits several.

    Raises:
        DataError: It is none of `FORMS`.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    suffix = suffixes[-1] if suffixes else ""
    if suffix in _LINES:
        raise DataError(
            f"{path}: is JSON lines by its name, which need no conversion. Name another form with --form."
        )
    if suffix == ".json":
        return "castella"
    if is_raven_table(text):
        return "raven"
    if separator_of(text, NEEDED)[1] > 1:
        return "csv"
    form = "audacity" if _LABEL.match(text) else _FORM_OF_SUFFIX.get(suffix, "")
    if not form:
        raise DataError(
            f"{path}: its form is not clear from its name or content. Name it with --form: "
            f"{', '.join(FORMS)}."
        )
    return form


def _inputs(source: Path, audio: Path | None) -> Iterator[Path]:
    """Yield the files that may be read: the source or its label files, and the recordings."""
    files = source.iterdir() if source.is_dir() else [source]
    yield from (file for file in files if file == source or file.suffix.lower() == SUFFIX)
    if audio is not None:
        yield from RecordingFiles.with_audio(audio, ()).readable


def _queries(source: Path, form: str, audio: Path | None) -> list[Query]:
    """Return the queries of a file or folder, and issue notes on them."""
    remarks = Remarks()
    if source.is_dir() and form in ("castella", "csv"):
        raise DataError(f"{source}: is a folder. Name one file of the form {form!r}.")
    files = label_files(source, remarks) if source.is_dir() else [source]
    texts = {file: read_text(file, LARGEST_UNPACKED) for file in files}
    if not source.is_dir():
        form = form or form_of(source, texts[source])
    if form == "castella":
        _note_unread(source, audio)
        return list(parse_castella(source, texts[source]))
    if form == "csv":
        labels = _of_table(source, texts[source], audio, remarks)
    elif audio is None:
        raise DataError(
            f"{source}: label files do not contain durations; name the folder of the recordings with --audio."
        )
    else:
        labels = parse_label_files(texts, audio, remarks, form=form)
    queries = join_labels(labels, remarks)
    remarks.issue()
    return queries


def _of_table(source: Path, text: str, audio: Path | None, remarks: Remarks) -> list[Label]:
    """Return the labels of a table, with durations from the recordings where it has none."""
    labels = parse_annotation_table(source, text, remarks, audio=audio is not None)
    if audio is None or not labels or labels[0].duration is not None:
        _note_unread(source, audio)
        return labels
    lengths = RecordingLengths(audio, [label.vid for label in labels])
    return [replace(label, duration=lengths.of(label.vid, label.location)) for label in labels]


def _note_unread(source: Path, audio: Path | None) -> None:
    if audio is not None:
        note(f"{source}: has durations, so the recordings in {audio} are not read.")


def _refuse_unsound(source: Path, queries: Sequence[Query]) -> None:
    mistakes = []
    for query in queries:
        faults = [*faults_of(query), *filter(None, map(file_name_fault, (query.vid, query.qid)))]
        where = f"{source}: query {query.qid!r} ({query.query!r} about {query.vid!r})"
        mistakes += [f"{where}: {fault}" for fault in faults]
    mistakes += [
        f"{source}: {count} different queries have the id {qid!r}; give each its own."
        for qid, count in Counter(str(query.qid) for query in queries).items()
        if count > 1
    ]
    refuse_mistakes(source, mistakes)
