"""`amrbench data verify`: find defects in annotations and features.

A defect that would stop a run or make its metrics meaningless is a fault. Other defects are notes: for
example, published annotations have windows that leave their recording; training cuts or drops them, and
scoring treats them as the official evaluator does.
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
"""Seconds by which a window may end after a published duration, which is rounded."""
_CROP = re.compile(r"(.+)_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)")
"""Id of a crop: <name of the source>_<start>_<end>."""


@dataclass(frozen=True)
class Finding:
    """A property of a split.

    Attributes:
        text: The property, for people.
        fault: Whether it must be corrected.
        where: Ids of the queries or recordings that have it.
    """

    text: str
    fault: bool = False
    where: tuple[str, ...] = ()

    def line(self) -> str:
        """Return one line for people."""
        named = f": {some(self.where, 3)}" if self.where else ""
        return f"{'FAULT' if self.fault else 'note '} {self.text}{named}"


@dataclass(frozen=True)
class VerificationReport:
    """The findings about each split of a data set."""

    name: str
    findings: Mapping[str, Sequence[Finding]]

    @property
    def faults(self) -> int:
        """Return the number of findings that must be corrected."""
        return sum(finding.fault for findings in self.findings.values() for finding in findings)

    def text(self) -> str:
        """Return lines for people."""
        lines = []
        for split, findings in self.findings.items():
            lines += [f"{self.name} {split}", *(f"  {finding.line()}" for finding in findings)]
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Return everything as plain values."""
        return {
            "data": self.name,
            "faults": self.faults,
            "splits": {
                split: [
                    {"text": finding.text, "fault": finding.fault, "where": list(finding.where)}
                    for finding in findings
                ]
                for split, findings in self.findings.items()
            },
        }


def verify_data(folder: DatasetFolder) -> VerificationReport:
    """Check annotations and features of all splits of a data set.

    Raises:
        DataError: No split has annotations.
    """
    if not folder.present_splits:
        files = ", ".join(str(folder.annotations(split)) for split in folder.splits)
        raise DataError(f"{folder.name}: there are no annotations. Put them at {files}.")
    known: dict[str, list[Query]] = {}
    findings: dict[str, list[Finding]] = {}
    present = folder.present_splits
    for split in folder.splits:
        if split not in present:
            findings[split] = [Finding(f"no annotations: there is no {folder.annotations(split)}")]
            continue
        try:
            queries = folder.queries(split)
        except DataError as error:
            findings[split] = [Finding(str(error), fault=True)]
            continue
        findings[split] = [
            _counts(folder.annotations(split), folder.splits[split], queries),
            *annotation_findings(queries),
            *_shared_recordings(queries, known),
        ]
        known[split] = queries
    for split, about_features in _findings_of_files(folder, known):
        findings[split] += about_features
    return VerificationReport(folder.name, findings)


def _counts(path: Path, published: PublishedSplit, queries: Sequence[Query]) -> Finding:
    counts = f"{len(queries):,} queries about {len({query.vid for query in queries}):,} recordings"
    if not published.md5:
        return Finding(f"{counts}; {published.queries:,} were published" if published.queries else counts)
    if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == published.md5:
        return Finding(f"{counts}, byte for byte as published")
    return Finding(
        f"{counts}; not the newest published file, which has {published.queries:,} queries "
        f"(md5 {published.md5[:12]}...)"
    )


# ---------------------------------------------------------------- annotations


def annotation_findings(queries: Sequence[Query]) -> Iterator[Finding]:
    """Yield the defects of the annotations of a split."""
    unsafe = tuple(str(query.qid) for query in queries if _has_unsafe_id(query))
    if unsafe:
        yield Finding(f"{len(unsafe):,} queries have ids that cannot be file names", fault=True, where=unsafe)
    for text, applies in _OF_QUERIES:
        where = tuple(str(query.qid) for query in queries if applies(query))
        if where:
            yield Finding(f"{len(where):,} {text}", where=where)
    for text, count in _OF_WINDOWS:
        counts = {str(query.qid): count(query) for query in queries}
        where = tuple(qid for qid, number in counts.items() if number)
        if where:
            yield Finding(f"{sum(counts.values()):,} {text}", where=where)
    yield from _about_recordings(queries)


def _about_recordings(queries: Sequence[Query]) -> Iterator[Finding]:
    pairs = Counter((query.vid, query.query) for query in queries)
    repeated = tuple(vid for (vid, _), count in pairs.items() for _ in range(count - 1))
    if repeated:
        text = f"{len(repeated):,} queries have the text of another query about their recording"
        yield Finding(text, where=repeated)
    lengths: dict[str, set[float]] = {}
    for query in queries:
        lengths.setdefault(query.vid, set()).add(query.duration)
    ambiguous = tuple(vid for vid, durations in lengths.items() if len(durations) > 1)
    if ambiguous:
        yield Finding(
            f"{len(ambiguous):,} recordings have more than one duration", fault=True, where=ambiguous
        )
    crops = _overlapping_crops(lengths)
    if crops:
        yield Finding(
            f"{len(crops):,} recordings are, by their ids, overlapping crops of one source, so they are not "
            "independent",
            where=crops,
        )


def _overlapping_crops(vids: Iterable[str]) -> tuple[str, ...]:
    by_source: dict[str, list[tuple[float, float, str]]] = {}
    for vid in vids:
        match = _CROP.fullmatch(vid)
        if match:
            source, start, end = match.groups()
            by_source.setdefault(source, []).append((float(start), float(end), vid))
    overlapping: dict[str, None] = {}
    for crops in by_source.values():
        for (_, end, first), (start, _, second) in pairwise(sorted(crops)):
            if start < end:
                overlapping |= {first: None, second: None}
    return tuple(overlapping)


def _has_unsafe_id(query: Query) -> bool:
    try:
        safe_id(query.vid), safe_id(query.qid)
    except DataError:
        return True
    return False


_OF_QUERIES: tuple[tuple[str, Callable[[Query], bool]], ...] = (
    ("queries have no public ground truth", lambda query: not query.windows),
    (
        "queries have no window with a length inside their recording",
        lambda query: (
            bool(query.windows) and not any(start < min(end, query.duration) for start, end in query.windows)
        ),
    ),
    (
        "queries have windows that are not in temporal order",
        lambda query: list(query.windows) != sorted(query.windows),
    ),
    (
        "queries have windows that overlap",
        lambda query: any(end > start for (_, end), (start, _) in pairwise(sorted(query.windows))),
    ),
    ("texts begin or end with a space", lambda query: query.query != query.query.strip()),
    ("texts have characters beyond ASCII", lambda query: not query.query.isascii()),
)
"""Each with the condition on a query."""
_OF_WINDOWS: tuple[tuple[str, Callable[[Query], int]], ...] = (
    (
        "windows end after their recording; training keeps those up to a second late",
        lambda query: sum(end > query.duration for _, end in query.windows),
    ),
    (
        "windows end more than a second after their recording; training cuts them",
        lambda query: sum(end > query.duration + _ROUNDING for _, end in query.windows),
    ),
    (
        "windows start at or after the end of their recording; training drops those without features",
        lambda query: sum(start >= query.duration for start, _ in query.windows),
    ),
    (
        "windows have no length; training and scoring drop them",
        lambda query: sum(start >= end for start, end in query.windows),
    ),
    (
        "windows are shorter than a second, which is one feature row",
        lambda query: sum(0 < end - start < 1 for start, end in query.windows),
    ),
    (
        "windows touch the one before them",
        lambda query: sum(end == start for (_, end), (start, _) in pairwise(sorted(query.windows))),
    ),
)
"""Each with the number of such windows of a query."""


def _shared_recordings(queries: Sequence[Query], known: Mapping[str, Sequence[Query]]) -> Iterator[Finding]:
    vids = dict.fromkeys(query.vid for query in queries)
    for split, others in known.items():
        other_vids = {query.vid for query in others}
        where = tuple(vid for vid in vids if vid in other_vids)
        if where:
            yield Finding(f"{len(where):,} recordings are in {split} too", fault=True, where=where)


# ---------------------------------------------------------------- features


def _findings_of_files(
    folder: DatasetFolder, known: Mapping[str, Sequence[Query]]
) -> Iterator[tuple[str, list[Finding]]]:
    """Yield each split with its findings for each feature file."""
    paths = sorted((folder.root / FEATURES).glob("*.h5"))
    for path in paths:
        try:
            file = open_feature_file(path)
        except DataError as error:
            yield from ((split, [Finding(str(error), fault=True)]) for split in known)
            continue
        for split, queries in known.items():
            yield split, list(feature_findings(path.stem, file, queries))
    if not paths:
        missing = Finding(
            f"no features: there is no .h5 file in {folder.root / FEATURES}; 'amrbench data import' and "
            "'amrbench data extract' make one"
        )
        yield from ((split, [missing]) for split in known)


def feature_findings(encoder: str, file: FeatureFile, queries: Sequence[Query]) -> Iterator[Finding]:
    """Yield the defects of the features of a split.

    Args:
        encoder: Its label, for the texts.
        file: Its features.
        queries: Of the split.
    """
    durations = {query.vid: query.duration for query in queries}
    qids = [str(query.qid) for query in queries]
    encoded_vids, encoded_qids = set(file.audio.ids), set(file.text.ids)
    missing_vids = tuple(vid for vid in durations if vid not in encoded_vids)
    missing_qids = tuple(qid for qid in qids if qid not in encoded_qids)
    for what, where in (("recordings", missing_vids), ("queries", missing_qids)):
        if where:
            yield Finding(f"{encoder}: {len(where):,} {what} have no features", fault=True, where=where)
    durations = {vid: duration for vid, duration in durations.items() if vid in encoded_vids}
    try:
        file.audio.verify(list(durations))
        file.text.verify([qid for qid in qids if qid in encoded_qids])
    except DataError as error:
        yield Finding(str(error), fault=True)
    yield from _lengths(encoder, file, durations)


def _lengths(encoder: str, file: FeatureFile, durations: Mapping[str, float]) -> Iterator[Finding]:
    hop = file.header.hop
    lengths = dict(zip(file.audio.ids, file.audio.lengths, strict=True))
    rows = {vid: int(lengths[vid]) for vid in durations}
    wrong = tuple(
        vid for vid, duration in durations.items() if not matches_duration(rows[vid], duration, hop)
    )
    if wrong:
        yield Finding(f"{encoder}: {len(wrong):,} recordings have features of another length", True, wrong)
    near = tuple(
        vid for vid, duration in durations.items() if vid not in wrong and rows[vid] != int(duration / hop)
    )
    if near:
        yield Finding(
            f"{encoder}: {len(near):,} recordings have one row more or less than their duration", where=near
        )
