"""Annotations in other forms, as JSON lines.

CASTELLA JSON   as github.com/line/CASTELLA has it: a list of recordings with `yid`, `duration`, `moments`
CSV             columns vid, query, start, end, duration and, if wanted, qid; rows of one query are joined
Audacity        one label file for each recording: start, end and text, parted by tabs
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amrbench.data.audio import SUFFIXES, audio_by_stem, open_audio
from amrbench.errors import DataError
from amrbench.files.annotations import faults_of, safe_id, write_annotations
from amrbench.files.atomic import refuse_replacing
from amrbench.files.jsonl import LARGEST, NUMBERS, Mistakes, shown
from amrbench.types import Query

FORMS = ("castella", "csv", "audacity")
_COLUMNS = ("vid", "query", "start", "end", "duration")


def convert(source: Path, output: Path, *, form: str = "", audio: Path | None = None) -> int:
    """Write the annotations of a file as JSON lines.

    Args:
        source: A file, or a folder of label files.
        output: The file to write.
        form: One of `FORMS`; empty for what the name of the source says.
        audio: Folder of the recordings, which label files need: they do not say how long a recording is.

    Returns:
        The number of queries.

    Raises:
        DataError: The source is missing or wrong, or the output is a source or cannot be written.
    """
    read = _READERS[_form_of(source, form)]
    refuse_replacing(output, [source, *source.glob("*.txt")])
    queries = list(read(source, audio))
    if not queries:
        raise DataError(f"{source}: holds no queries.")
    _refuse_unsound(source, queries)
    write_annotations(output, queries)
    return len(queries)


def _refuse_unsound(source: Path, queries: Sequence[Query]) -> None:
    mistakes = Mistakes(source)
    for query in queries:
        who = f"{source}: query {query.qid!r} ({query.query!r} about {query.vid!r})"
        faults = [*faults_of(query), *_id_faults(query)]
        mistakes.found += [f"{who}: {fault}" for fault in faults]
    counts = Counter(str(query.qid) for query in queries)
    mistakes.found += [
        f"{source}: {count} different queries have the id {qid!r}; give each its own."
        for qid, count in counts.items()
        if count > 1
    ]
    mistakes.stop_if_any()


def _id_faults(query: Query) -> Iterator[str]:
    for each in (query.vid, query.qid):
        try:
            safe_id(each)
        except DataError as error:
            yield str(error)


def _form_of(source: Path, form: str) -> str:
    if form and form not in FORMS:
        raise DataError(f"there is no form {form!r}. Use {', '.join(FORMS)}.")
    if not source.exists():
        raise DataError(f"{source}: there is no such file.")
    found = form or {".json": "castella", ".csv": "csv", ".txt": "audacity"}.get(source.suffix, "")
    if source.is_dir():
        found = form or "audacity"
    if not found:
        raise DataError(
            f"{source}: its name does not say what it is. Name the form with --form: {', '.join(FORMS)}."
        )
    return found


def _castella(source: Path, audio: Path | None) -> Iterator[Query]:  # noqa: ARG001 - every reader takes it
    try:
        content = json.loads(source.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{source}: cannot be read as JSON ({error}). Download it again.") from error
    if not isinstance(content, list):
        raise DataError(f"{source}: holds no list of recordings, as the JSON files of CASTELLA do.")
    for place, entry in enumerate(content):
        try:
            yield from _moments(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{source}: entry {place + 1} is not as in CASTELLA ({type(error).__name__}: {error}): it "
                "needs yid, duration and moments with local_caption and timestamps."
            ) from error


def _moments(entry: Mapping[str, Any]) -> Iterator[Query]:
    vid, duration = _text(entry["yid"], "yid"), _seconds(entry["duration"], "duration")
    for number, moment in enumerate(entry["moments"], start=1):
        text = _text(moment["local_caption"], "local_caption")
        # In their own order, as the published JSON lines have them: saliency targets may look at the first.
        windows = tuple(_window(each) for each in moment["timestamps"])
        yield Query(f"{vid}_{number}", text, vid, duration, windows, {})


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {shown(value)}, not text")
    return value


def _seconds(value: Any, name: str) -> float:
    if type(value) not in NUMBERS or not abs(value) <= LARGEST:
        raise TypeError(f"{name} is {shown(value)}, not a number of seconds")
    return float(value)


def _window(value: object) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError(f"timestamps hold {shown(value)}, not [start, end]")
    return _seconds(value[0], "start"), _seconds(value[1], "end")


def _csv(source: Path, audio: Path | None) -> Iterator[Query]:  # noqa: ARG001
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lacking = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if lacking:
                raise DataError(
                    f"{source}: has no column {', '.join(lacking)}. It needs {', '.join(_COLUMNS)} and may "
                    "have qid."
                )
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source}: cannot be read as CSV ({error}).") from error
    yield from _joined([_csv_row(row, f"{source}, line {line}") for line, row in enumerate(rows, start=2)])


def _csv_row(row: Mapping[str, str], place: str) -> tuple[str, str, str, float, tuple[float, float]]:
    numbers = {name: _number(row[name], name, place) for name in ("start", "end", "duration")}
    window = (numbers["start"], numbers["end"])
    return row.get("qid") or "", row["vid"] or "", row["query"] or "", numbers["duration"], window


def _number(text: str | None, name: str, place: str) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise DataError(f"{place}: {name} is {text!r}, not a number of seconds.") from None


def _joined(rows: Sequence[tuple[str, str, str, float, tuple[float, float]]]) -> Iterator[Query]:
    groups: dict[tuple[str, str, str, float], list[tuple[float, float]]] = {}
    for qid, vid, text, duration, window in rows:
        groups.setdefault((qid, vid, text, duration), []).append(window)
    numbers: dict[str, int] = {}
    for (qid, vid, text, duration), windows in groups.items():
        numbers[vid] = numbers.get(vid, 0) + 1
        yield Query(qid or f"{vid}_{numbers[vid]}", text, vid, duration, tuple(sorted(windows)), {})


def _audacity(source: Path, audio: Path | None) -> Iterator[Query]:
    if audio is None:
        raise DataError(
            f"{source}: label files do not say how long a recording is; name its folder with --audio."
        )
    files = sorted(source.glob("*.txt")) if source.is_dir() else [source]
    for file in files:
        yield from _joined(list(_labels(file, audio)))


def _labels(file: Path, audio: Path) -> Iterator[tuple[str, str, str, float, tuple[float, float]]]:
    duration = open_audio(_recording(file, audio)).seconds
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as labels ({error}).") from error
    for number, line in enumerate(lines, start=1):
        # Lines that begin with a backslash tell the frequencies of the label before them.
        if not line.strip() or line.startswith("\\"):
            continue
        place, cells = f"{file}, line {number}", line.split("\t")
        if len(cells) != 3:
            raise DataError(f"{place}: has {len(cells)} cells parted by tabs, not start, end and text.")
        window = (_number(cells[0], "start", place), _number(cells[1], "end", place))
        yield "", file.stem, cells[2].strip(), duration, window


def _recording(file: Path, audio: Path) -> Path:
    places = (audio / f"{file.stem}{end}" for end in SUFFIXES)
    found = audio_by_stem(path for path in places if path.is_file())
    if not found:
        raise DataError(f"{file}: there is no recording {file.stem!r} in {audio} ({', '.join(SUFFIXES)}).")
    return found[file.stem]


_READERS: Mapping[str, Callable[[Path, Path | None], Iterator[Query]]] = {
    "castella": _castella,
    "csv": _csv,
    "audacity": _audacity,
}
