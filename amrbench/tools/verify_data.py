"""`amrbench data verify`: find defects in annotations and features.

A defect that would stop a run or make its metrics meaningless is a fault. Other defects are notes: for
example, published annotations have windows that leave their recording; training cuts or drops them, and
scoring treats them as the official evaluator does.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from amrbench.data.feature_source import matches_duration
from amrbench.data.local_dataset import FEATURES, DatasetFolder
from amrbench.errors import DataError, some
from amrbench.files.annotations import file_name_fault
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
                split: [vars(finding) | {"where": list(finding.where)} for finding in findings]
                for split, findings in self.findings.items()
            },
        }


def verify_data(folder: DatasetFolder) -> VerificationReport:
    """Check annotations and features of all splits of a data set.

    Raises:
        DataError: No split has annotations.
    """
    present = folder.present_splits
    if not present:
        files = ", ".join(str(folder.annotations(split)) for split in folder.splits)
        raise DataError(f"{folder.name}: there are no annotations. Put them at {files}.")
    known: dict[str, list[Query]] = {}
    findings: dict[str, list[Finding]] = {}
    for split in folder.splits:
        if split not in present:
            findings[split] = [Finding(f"no annotations: there is no {folder.annotations(split)}")]
            continue
        try:
            queries = folder.queries(split)
        except DataError as error:
            findings[split] = [Finding(str(error), fault=True)]
            continue
        findings[split] = [_size(folder, split, queries), *annotation_findings(queries)]
        vids = dict.fromkeys(query.vid for query in queries)
        for other, others in known.items():
            other_vids = {query.vid for query in others}
            shared = [vid for vid in vids if vid in other_vids]
            findings[split] += _counted(f"recordings are in {other} too", shared, fault=True)
        known[split] = queries
    for split, own in _of_feature_files(folder, known):
        findings[split] += own
    return VerificationReport(folder.name, findings)


def _size(folder: DatasetFolder, split: str, queries: Sequence[Query]) -> Finding:
    """Compare the annotations of a split with what is published."""
    path, published = folder.annotations(split), folder.splits[split]
    size = f"{len(queries):,} queries about {len({query.vid for query in queries}):,} recordings"
    if not published.md5:
        return Finding(f"{size}; {published.queries:,} were published" if published.queries else size)
    if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == published.md5:
        return Finding(f"{size}, byte for byte as published")
    return Finding(
        f"{size}; not the newest published file, which has {published.queries:,} queries "
        f"(md5 {published.md5[:12]}...)"
    )


def _counted(
    text: str, where: Iterable[str], *, count: int | None = None, fault: bool = False, encoder: str = ""
) -> Iterator[Finding]:
    """Yield a finding with the number of cases, by default that of their ids, if there are any."""
    if where := tuple(where):
        about = f"{encoder}: " if encoder else ""
        yield Finding(f"{about}{len(where) if count is None else count:,} {text}", fault, where)


# ---------------------------------------------------------------- annotations


def annotation_findings(queries: Sequence[Query]) -> Iterator[Finding]:
    """Yield the defects of the annotations of a split."""
    yield from _counted(
        "queries have ids that cannot be file names",
        (str(query.qid) for query in queries if file_name_fault(query.vid) or file_name_fault(query.qid)),
        fault=True,
    )
    for text, count_in in _CHECKS:
        counts = {str(query.qid): count_in(query) for query in queries}
        where = (qid for qid, count in counts.items() if count)
        yield from _counted(text, where, count=sum(counts.values()))

    pairs = Counter((query.vid, query.query) for query in queries)
    repeated = (vid for (vid, _), count in pairs.items() for _ in range(count - 1))
    yield from _counted("queries have the text of another query about their recording", repeated)
    durations = defaultdict[str, set[float]](set)
    for query in queries:
        durations[query.vid].add(query.duration)
    ambiguous = (vid for vid, own in durations.items() if len(own) > 1)
    yield from _counted("recordings have more than one duration", ambiguous, fault=True)
    yield from _counted(
        "recordings are, by their ids, overlapping crops of one source, so they are not independent",
        _overlapping_crops(durations),
    )


def _overlapping_crops(vids: Iterable[str]) -> Iterable[str]:
    by_source = defaultdict[str, list[tuple[float, float, str]]](list)
    for vid in vids:
        if match := _CROP.fullmatch(vid):
            source, start, end = match.groups()
            by_source[source].append((float(start), float(end), vid))
    overlapping: dict[str, None] = {}
    for crops in by_source.values():
        for (_, end, first), (start, _, second) in pairwise(sorted(crops)):
            if start < end:
                overlapping |= {first: None, second: None}
    return overlapping


_CHECKS: tuple[tuple[str, Callable[[Query], int]], ...] = (
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
"""Notes, each with the number of cases in a query."""


# ---------------------------------------------------------------- features


def _of_feature_files(
    folder: DatasetFolder, known: Mapping[str, Sequence[Query]]
) -> Iterator[tuple[str, Iterable[Finding]]]:
    """Yield each split with its findings for each feature file."""
    paths = sorted((folder.root / FEATURES).glob("*.h5"))
    for path in paths:
        try:
            file = open_feature_file(path)
        except DataError as error:
            yield from ((split, [Finding(str(error), fault=True)]) for split in known)
        else:
            yield from ((split, feature_findings(path.stem, file, known[split])) for split in known)
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
    counted = partial(_counted, encoder=encoder)
    durations, qids = {query.vid: query.duration for query in queries}, [str(query.qid) for query in queries]
    rows = dict(zip(file.audio.ids, map(int, file.audio.lengths), strict=True))
    encoded_qids, hop = set(file.text.ids), file.header.hop
    without = [vid for vid in durations if vid not in rows]
    yield from counted("recordings have no features", without, fault=True)
    yield from counted(
        "queries have no features", (qid for qid in qids if qid not in encoded_qids), fault=True
    )
    vids = [vid for vid in durations if vid in rows]
    try:
        file.audio.verify(vids)
        file.text.verify([qid for qid in qids if qid in encoded_qids])
    except DataError as error:
        yield Finding(str(error), fault=True)

    wrong = dict.fromkeys(vid for vid in vids if not matches_duration(rows[vid], durations[vid], hop))
    yield from counted("recordings have features of another length", wrong, fault=True)
    near = (vid for vid in vids if vid not in wrong and rows[vid] != int(durations[vid] / hop))
    yield from counted("recordings have one row more or less than their duration", near)
