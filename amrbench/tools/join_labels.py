"""Labels of tables and label files, joined to queries, with what people must know of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from amrbench.data.recording_files import without_suffix
from amrbench.files.annotations import file_name_fault
from amrbench.files.folder_files import composed
from amrbench.files.jsonl import refuse_mistakes
from amrbench.files.labels import Label, Remarks
from amrbench.types import Query, Window

LATE = 1.0
"""Seconds that a window may end after its recording: published lengths are rounded."""


def join_labels(labels: Sequence[Label], remarks: Remarks) -> list[Query]:
    """Return one query for all labels that differ in their windows alone.

    Queries without an id get the name of their recording and a number.

    Args:
        labels: With recording and duration.
        remarks: Gets what people must know of the labels.

    Raises:
        DataError: A label is wrong, or labels contradict each other; the text names their lines.
    """
    if not labels:
        return []
    labels = _with_plain_vids(_with_one_spelling(labels, remarks), remarks)
    refuse_mistakes(labels[0].path, chain(_faults(labels), _contradictions(labels)))
    _remark_similar_vids(labels, remarks)
    return _joined(labels, remarks)


def _with_one_spelling(labels: Sequence[Label], remarks: Remarks) -> list[Label]:
    """Return the labels with one spelling of texts that have composed and decomposed letters."""
    changed: dict[str, dict[str, str]] = {}
    for name in ("vid", "query", "qid"):
        first: dict[str, str] = {}
        texts = dict.fromkeys(getattr(label, name) for label in labels)
        changed[name] = {
            text: first[composed(text)] for text in texts if first.setdefault(composed(text), text) != text
        }
    for name, spelling in changed.items():
        for label in labels if spelling else ():
            if (same := spelling.get(getattr(label, name))) is not None:
                text = "is spelled with composed and with decomposed letters, and is read as the same."
                remarks.add(f"{label.location}, {name} {same!r}", text)
    if not any(changed.values()):
        return list(labels)
    return [
        replace(
            label,
            vid=changed["vid"].get(label.vid, label.vid),
            query=changed["query"].get(label.query, label.query),
            qid=changed["qid"].get(label.qid, label.qid),
        )
        for label in labels
    ]


def plain_vid(vid: str) -> str:
    """Return the id of a recording without folders and without suffixes of audio files.

    >>> plain_vid("day1/street.wav")
    'street'
    """
    name = re.split(r"[/\\]", vid)[-1]
    return vid if without_suffix(name) == composed(vid) else without_suffix(name)


def _with_plain_vids(labels: Sequence[Label], remarks: Remarks) -> list[Label]:
    """Return the labels with ids of recordings that are neither paths nor names of files.

    Raises:
        DataError: Two recordings would have one id.
    """
    first = {label.vid: label for label in reversed(labels)}
    changed = {vid: name for vid in first if (name := plain_vid(vid)) != vid}
    owners: dict[str, Label] = {}
    mistakes = []
    for label in sorted((first[vid] for vid in changed), key=lambda label: label.line):
        other = owners.setdefault(changed[label.vid], label)
        if other is not label:
            mistakes.append(
                f"{label.location}: vid {label.vid!r} and {other.vid!r} on line {other.line} differ in "
                "folder or suffix alone, which ids do not have. Give them different names."
            )
        text = "folder and suffix of the file are left out of the id."
        remarks.add(f"{label.location}, vid {label.vid!r}", text)
    refuse_mistakes(labels[0].path, mistakes)
    return [replace(label, vid=changed[label.vid]) if label.vid in changed else label for label in labels]


def _faults(labels: Sequence[Label]) -> Iterator[str]:
    """Yield what is wrong with labels by themselves."""
    vids = {vid: file_name_fault(vid) for vid in {label.vid for label in labels}}
    qids = {qid: file_name_fault(qid) for qid in {label.qid for label in labels}} | {"": ""}
    for label in labels:
        if not label.query:
            yield f"{label.location}: the label has no text. Write the sentence that describes the moment."
        if not label.vid:
            yield f"{label.location}: vid is blank. Give the name of the recording."
        elif fault := vids[label.vid]:
            yield f"{label.location}: vid: {fault}"
        if fault := qids[label.qid]:
            yield f"{label.location}: qid: {fault}"
        if label.start < 0:
            yield f"{label.location}: start is {label.start:g}, before the recording."
        if label.end < label.start:
            yield f"{label.location}: end is {label.end:g}, before the start, {label.start:g}."
        if label.duration is not None and label.duration <= 0:
            yield (
                f"{label.location}: duration is {label.duration:g}. Give the length of the recording in "
                "seconds, above 0."
            )


def _contradictions(labels: Sequence[Label]) -> Iterator[str]:
    """Yield what labels contradict each other in."""
    recordings: dict[str, Label] = {}
    queries: dict[str, Label] = {}
    for label in labels:
        first = recordings.setdefault(label.vid, label)
        if first.duration != label.duration:
            yield (
                f"{label.location}: the duration of {label.vid!r} is {label.duration:g}, and "
                f"{first.duration:g} on line {first.line}. Give one."
            )
        query = queries.setdefault(label.qid, label) if label.qid else label
        if (query.vid, query.query) != (label.vid, label.query):
            yield (
                f"{label.location}: the qid {label.qid!r} is that of another query on line {query.line}. "
                "Give each its own."
            )
    without = next((label for label in labels if not label.qid), None)
    if queries and without:
        yield f"{without.location}: has no qid, and others have one. Give all queries a qid, or none."


def _remark_similar_vids(labels: Sequence[Label], remarks: Remarks) -> None:
    first: dict[str, Label] = {}
    for label in {label.vid: label for label in reversed(labels)}.values():
        other = first.setdefault(label.vid.casefold(), label)
        if other is not label:
            remarks.add(
                f"{label.location}, vid {label.vid!r} and {other.vid!r} on line {other.line}",
                "the ids differ in upper case alone, and are read as two recordings.",
            )


def _joined(labels: Sequence[Label], remarks: Remarks) -> list[Query]:
    groups: dict[tuple[str, str, str], dict[Window, Label]] = {}
    for label in labels:
        windows = groups.setdefault((label.qid, label.vid, label.query), {})
        first = windows.setdefault((label.start, label.end), label)
        if first is not label:
            text = "the window of the query is there already, and is read once."
            remarks.add(f"{label.location} (as line {first.line})", text)
            continue
        if label.start == label.end:
            remarks.add(label.location, "the moment has no length: its end is its start.")
        duration = label.duration or 0.0
        if label.end > duration + LATE or label.start >= duration:
            remarks.add(label.location, "the moment is not inside its recording.")
    numbers: Counter[str] = Counter()
    queries = []
    for (qid, vid, text), windows in groups.items():
        numbers[vid] += 1
        duration = next(iter(windows.values())).duration or 0.0
        queries.append(Query(qid or f"{vid}_{numbers[vid]}", text, vid, duration, tuple(sorted(windows))))
    return queries
