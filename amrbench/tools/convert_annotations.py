"""`amrbench data convert`: annotations in other formats, as JSON lines.

CASTELLA JSON   as in github.com/line/CASTELLA: a list of recordings with `yid`, `duration` and `moments`
CSV             columns vid, query, start, end, duration and, optionally, qid; rows of one query are joined
Audacity        one label file for each recording: start, end and text, separated by tabs
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amrbench.data.audio import SUFFIXES, audio_by_stem, open_audio
from amrbench.errors import DataError
from amrbench.files.annotations import faults_of, file_name_fault, write_annotations
from amrbench.files.atomic import refuse_replacing
from amrbench.files.jsonl import LARGEST, NUMBERS, refuse_mistakes, shown
from amrbench.types import Query

FORMS = ("castella", "csv", "audacity")
_FORM_OF_SUFFIX = {".json": "castella", ".csv": "csv", ".txt": "audacity"}
_COLUMNS = ("vid", "query", "start", "end", "duration")


def convert(source: Path, output: Path, *, form: str = "", audio: Path | None = None) -> int:
    """Write the annotations of a file as JSON lines.

    Args:
        source: A file, or a folder of label files.
        output: The file to write.
        form: One of `FORMS`; empty to tell it from the name of the source.
        audio: Folder of the recordings, for label files, which do not contain durations.

    Returns:
        The number of queries.

    Raises:
        DataError: The source is missing or wrong, or the output is a source or cannot be written.
    """
    if form and form not in FORMS:
        raise DataError(f"there is no form {form!r}. Use {', '.join(FORMS)}.")
    if not source.exists():
        raise DataError(f"{source}: there is no such file.")
    form = form or ("audacity" if source.is_dir() else _FORM_OF_SUFFIX.get(source.suffix, ""))
    if not form:
        raise DataError(
            f"{source}: its form is not clear from its name. Name it with --form: {', '.join(FORMS)}."
        )
    refuse_replacing(output, [source, *source.glob("*.txt")])
    if form == "castella":
        queries = list(_castella(source))
    else:
        queries = list(_joined(_csv(source) if form == "csv" else _audacity(source, audio)))
    if not queries:
        raise DataError(f"{source}: has no queries.")
    _refuse_unsound(source, queries)
    write_annotations(output, queries)
    return len(queries)


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


def _joined(labels: Iterable[Query]) -> Iterator[Query]:
    """Yield one query for all labels that differ in their windows alone, with a qid where they have none."""
    windows: dict[tuple[str, str, str, float], list[tuple[float, float]]] = {}
    for label in labels:
        key = (str(label.qid), label.vid, label.query, label.duration)
        windows.setdefault(key, []).extend(label.windows)
    numbers: Counter[str] = Counter()
    for (qid, vid, text, duration), own in windows.items():
        numbers[vid] += 1
        yield Query(qid or f"{vid}_{numbers[vid]}", text, vid, duration, tuple(sorted(own)))


def _number(text: str | None, name: str, location: str) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise DataError(f"{location}: {name} is {text!r}, not a number of seconds.") from None


def _csv(source: Path) -> Iterator[Query]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{source}: has no column {', '.join(missing)}. It needs {', '.join(_COLUMNS)} and may "
                    "have qid."
                )
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source}: cannot be read as CSV ({error}).") from error
    for line, row in rows:
        location = f"{source}, line {line}"
        start, end, duration = (_number(row[name], name, location) for name in ("start", "end", "duration"))
        yield Query(row.get("qid") or "", row["query"] or "", row["vid"] or "", duration, ((start, end),))


def _audacity(source: Path, audio: Path | None) -> Iterator[Query]:
    if audio is None:
        raise DataError(
            f"{source}: label files do not contain durations; name the folder of the recordings with --audio."
        )
    for file in sorted(source.glob("*.txt")) if source.is_dir() else [source]:
        paths = (audio / f"{file.stem}{suffix}" for suffix in SUFFIXES)
        recordings = audio_by_stem(path for path in paths if path.is_file())
        if not recordings:
            raise DataError(
                f"{file}: there is no recording {file.stem!r} in {audio} ({', '.join(SUFFIXES)})."
            )
        duration = open_audio(recordings[file.stem]).seconds
        try:
            lines = file.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: cannot be read as labels ({error}).") from error
        for number, line in enumerate(lines, start=1):
            # A line that begins with a backslash has the frequencies of the label before it.
            if not line.strip() or line.startswith("\\"):
                continue
            location, cells = f"{file}, line {number}", line.split("\t")
            if len(cells) != 3:
                raise DataError(
                    f"{location}: has {len(cells)} cells separated by tabs, not start, end and text."
                )
            window = (_number(cells[0], "start", location), _number(cells[1], "end", location))
            yield Query("", cells[2].strip(), file.stem, duration, (window,))


def _castella(source: Path) -> Iterator[Query]:
    try:
        content = json.loads(source.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{source}: cannot be read as JSON ({error}). Download it again.") from error
    if not isinstance(content, list):
        raise DataError(f"{source}: is not a list of recordings, as in CASTELLA.")
    for number, entry in enumerate(content, start=1):
        try:
            yield from _castella_queries(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{source}: entry {number} is not as in CASTELLA ({type(error).__name__}: {error}): it "
                "needs yid, duration and moments with local_caption and timestamps."
            ) from error


def _castella_queries(entry: Mapping[str, Any]) -> Iterator[Query]:
    vid, duration = _text(entry["yid"], "yid"), _seconds(entry["duration"], "duration")
    for number, moment in enumerate(entry["moments"], start=1):
        text = _text(moment["local_caption"], "local_caption")
        # In the order of the file, as in the published JSON lines: saliency targets may use the first one.
        windows = []
        for window in moment["timestamps"]:
            if not isinstance(window, list) or len(window) != 2:
                raise TypeError(f"timestamps contain {shown(window)}, not [start, end]")
            windows.append((_seconds(window[0], "start"), _seconds(window[1], "end")))
        yield Query(f"{vid}_{number}", text, vid, duration, tuple(windows))


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {shown(value)}, not text")
    return value


def _seconds(value: Any, name: str) -> float:
    if type(value) not in NUMBERS or not abs(value) <= LARGEST:
        raise TypeError(f"{name} is {shown(value)}, not a number of seconds")
    return float(value)
