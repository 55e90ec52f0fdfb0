"""Look for what is wrong with placed data, and name it.

Published annotations have defects that do no harm, because training cuts or drops windows that leave the
recording and scoring takes them as the official evaluator does; these are told as notes. What would stop a
run, or make its figures mean nothing, is a fault.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from amrbench.data.feature_source import matches_duration
from amrbench.data.local_dataset import FEATURES, DatasetFolder, PublishedSplit
from amrbench.errors import DataError, some
from amrbench.files.annotations import safe_id
from amrbench.files.feature_file import FeatureFile, open_feature_file
from amrbench.types import Query

_ROUNDING = 1.0
"""Published durations are rounded, so a window may end so many seconds later."""
_CROP = re.compile(r"(.+)_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Finding:
    """Something about a split.

    Attributes:
        text: What, for people.
        fault: Whether it must be mended.
        where: The queries or recordings that it is true of.
    """

    text: str
    fault: bool = False
    where: tuple[str, ...] = ()

    def line(self) -> str:
        """Return it as a line for people."""
        named = f": {some(self.where, 3)}" if self.where else ""
        return f"{'FAULT' if self.fault else 'note '} {self.text}{named}"


@dataclass(frozen=True)
class VerificationReport:
    """What was found about a data set, split by split."""

    name: str
    findings: Mapping[str, Sequence[Finding]]

    @property
    def faults(self) -> int:
        """Return how many findings must be mended."""
        return sum(each.fault for found in self.findings.values() for each in found)

    def text(self) -> str:
        """Return everything as lines for people."""
        lines = []
        for split, found in self.findings.items():
            lines += [f"{self.name} {split}", *(f"  {each.line()}" for each in found)]
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Return everything."""
        return {
            "data": self.name,
            "faults": self.faults,
            "splits": {
                split: [{"text": each.text, "fault": each.fault, "where": list(each.where)} for each in found]
                for split, found in self.findings.items()
            },
        }


def verify_data(folder: DatasetFolder) -> VerificationReport:
    """Look at annotations and features of all splits of a data set, and name the splits that are not placed.

    Raises:
        DataError: Nothing is placed.
    """
    if not folder.present_splits:
        files = ", ".join(str(folder.annotations(split)) for split in folder.splits)
        raise DataError(f"{folder.name}: nothing is placed. The annotations belong to {files}.")
    known: dict[str, list[Query]] = {}
    findings: dict[str, list[Finding]] = {}
    present = folder.present_splits
    for split in folder.splits:
        if split not in present:
            findings[split] = [Finding(f"not placed: there is no {folder.annotations(split)}")]
            continue
        try:
            queries = folder.queries(split)
        except DataError as error:
            findings[split] = [Finding(str(error), fault=True)]
            continue
        findings[split] = [
            _published(folder.annotations(split), folder.splits[split], queries),
            *annotation_findings(queries),
            *_shared(queries, known),
        ]
        known[split] = queries
    stores = sorted((folder.root / FEATURES).glob("*.h5"))
    for path in stores:
        _add_features(path, known, findings)
    for split in () if stores else known:
        findings[split].append(Finding(_no_features(folder)))
    return VerificationReport(folder.name, findings)


def _no_features(folder: DatasetFolder) -> str:
    return (
        f"no features: there is no .h5 file in {folder.root / FEATURES}; 'amrbench data import' and "
        "'amrbench data extract' make one"
    )


def _published(path: Path, facts: PublishedSplit, queries: Sequence[Query]) -> Finding:
    counts = f"{len(queries):,} queries about {len({query.vid for query in queries}):,} recordings"
    if not facts.md5:
        told = f"; {facts.queries:,} were published" if facts.queries else ""
        return Finding(counts + told)
    if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == facts.md5:
        return Finding(f"{counts}, byte for byte as published")
    return Finding(
        f"{counts}; not the newest published file, which has {facts.queries:,} queries "
        f"(md5 {facts.md5[:12]}...)"
    )


# ---------------------------------------------------------------- annotations


def annotation_findings(queries: Sequence[Query]) -> Iterator[Finding]:
    """Yield what stands out in the annotations of a split."""
    unsafe = tuple(str(query.qid) for query in queries if _names_no_file(query))
    if unsafe:
        yield Finding(
            f"{len(unsafe):,} queries have ids that cannot be names of files", fault=True, where=unsafe
        )
    for text, is_so in _OF_QUERIES:
        where = tuple(str(query.qid) for query in queries if is_so(query))
        if where:
            yield Finding(f"{len(where):,} {text}", where=where)
    for text, count in _OF_WINDOWS:
        counts = {str(query.qid): count(query) for query in queries}
        where = tuple(qid for qid, number in counts.items() if number)
        if where:
            yield Finding(f"{sum(counts.values()):,} {text}", where=where)
    yield from _about_recordings(queries)


def _about_recordings(queries: Sequence[Query]) -> Iterator[Finding]:
    asked = Counter((query.vid, query.query) for query in queries)
    twice = tuple(vid for (vid, _), count in asked.items() for _ in range(count - 1))
    if twice:
        yield Finding(f"{len(twice):,} queries repeat the text of another about their recording", where=twice)
    lengths: dict[str, set[float]] = {}
    for query in queries:
        lengths.setdefault(query.vid, set()).add(query.duration)
    torn = tuple(vid for vid, durations in lengths.items() if len(durations) > 1)
    if torn:
        yield Finding(f"{len(torn):,} recordings have more than one duration", fault=True, where=torn)
    crops = _overlapping_crops(lengths)
    if crops:
        yield Finding(
            f"{len(crops):,} recordings are, by their ids, crops that overlap another of the same place, so "
            "they are not independent",
            where=crops,
        )


def _overlapping_crops(vids: Iterable[str]) -> tuple[str, ...]:
    places: dict[str, list[tuple[float, float, str]]] = {}
    for vid in vids:
        match = _CROP.fullmatch(vid)
        if match:
            place, start, end = match.groups()
            places.setdefault(place, []).append((float(start), float(end), vid))
    found: dict[str, None] = {}
    for crops in places.values():
        crops.sort()
        for (_, end, one), (start, _, other) in pairwise(crops):
            if start < end:
                found |= {one: None, other: None}
    return tuple(found)


def _names_no_file(query: Query) -> bool:
    try:
        safe_id(query.vid), safe_id(query.qid)
    except DataError:
        return True
    return False


def _past_the_end(query: Query) -> int:
    return sum(end > query.duration for _, end in query.windows)


def _far_past_the_end(query: Query) -> int:
    return sum(end > query.duration + _ROUNDING for _, end in query.windows)


def _after_the_end(query: Query) -> int:
    return sum(start >= query.duration for start, _ in query.windows)


def _without_length(query: Query) -> int:
    return sum(start >= end for start, end in query.windows)


def _shorter_than_a_row(query: Query) -> int:
    return sum(0 < end - start < 1 for start, end in query.windows)


def _touching(query: Query) -> int:
    ordered = sorted(query.windows)
    return sum(end == start for (_, end), (start, _) in pairwise(ordered))


def _overlapping(query: Query) -> bool:
    ordered = sorted(query.windows)
    return any(end > start for (_, end), (start, _) in pairwise(ordered))


def _unordered(query: Query) -> bool:
    return list(query.windows) != sorted(query.windows)


def _unanswerable(query: Query) -> bool:
    usable = [each for each in query.windows if each[0] < min(each[1], query.duration)]
    return bool(query.windows) and not usable


_OF_QUERIES: tuple[tuple[str, Callable[[Query], bool]], ...] = (
    ("queries have no public answer", lambda query: not query.windows),
    ("queries have no window left that can be heard", _unanswerable),
    ("queries have windows that are not in the order of time", _unordered),
    ("queries have windows that overlap", _overlapping),
    ("texts begin or end with a space", lambda query: query.query != query.query.strip()),
    ("texts have characters beyond ASCII", lambda query: not query.query.isascii()),
)
_OF_WINDOWS: tuple[tuple[str, Callable[[Query], int]], ...] = (
    ("windows end after their recording; training keeps those up to a second late", _past_the_end),
    ("windows end more than a second after their recording; training cuts them", _far_past_the_end),
    (
        "windows start at or after the end of their recording; training drops those without features",
        _after_the_end,
    ),
    ("windows have no length; training and scoring drop them", _without_length),
    ("windows are shorter than a second, which is one feature row", _shorter_than_a_row),
    ("windows touch the one before them", _touching),
)


def _shared(queries: Sequence[Query], known: Mapping[str, Sequence[Query]]) -> Iterator[Finding]:
    mine = dict.fromkeys(query.vid for query in queries)
    for split, others in known.items():
        theirs = {query.vid for query in others}
        where = tuple(vid for vid in mine if vid in theirs)
        if where:
            yield Finding(f"{len(where):,} recordings are in {split} too", fault=True, where=where)


# ---------------------------------------------------------------- features


def _add_features(
    path: Path, known: Mapping[str, Sequence[Query]], findings: Mapping[str, list[Finding]]
) -> None:
    try:
        store = open_feature_file(path)
    except DataError as error:
        for split in known:
            findings[split].append(Finding(str(error), fault=True))
        return
    for split, queries in known.items():
        findings[split] += feature_findings(path.stem, store, queries)


def feature_findings(label: str, store: FeatureFile, queries: Sequence[Query]) -> Iterator[Finding]:
    """Yield what is wrong with the features of a split.

    Args:
        label: Of the encoder.
        store: Its features.
        queries: Of the split.
    """
    durations = {query.vid: query.duration for query in queries}
    audio, text = set(store.audio.ids), set(store.text.ids)
    silent = tuple(vid for vid in durations if vid not in audio)
    unread = tuple(str(query.qid) for query in queries if str(query.qid) not in text)
    for what, where in (("recordings", silent), ("queries", unread)):
        if where:
            yield Finding(f"{label}: {len(where):,} {what} have no features", fault=True, where=where)
    try:
        store.audio.verify([vid for vid in durations if vid in audio])
        store.text.verify([str(query.qid) for query in queries if str(query.qid) in text])
    except DataError as error:
        yield Finding(str(error), fault=True)
    yield from _lengths(label, store, {vid: each for vid, each in durations.items() if vid in audio})


def _lengths(label: str, store: FeatureFile, durations: Mapping[str, float]) -> Iterator[Finding]:
    hop = store.header.hop
    places = {vid: place for place, vid in enumerate(store.audio.ids)}
    rows = {vid: int(store.audio.lengths[places[vid]]) for vid in durations}
    wrong = tuple(
        vid for vid, duration in durations.items() if not matches_duration(rows[vid], duration, hop)
    )
    if wrong:
        yield Finding(f"{label}: {len(wrong):,} recordings have features of another length", True, wrong)
    near = [vid for vid, duration in durations.items() if rows[vid] != int(duration / hop)]
    near = [vid for vid in near if vid not in wrong]
    if near:
        yield Finding(
            f"{label}: {len(near):,} recordings have a row more or less than their duration",
            where=tuple(near),
        )
