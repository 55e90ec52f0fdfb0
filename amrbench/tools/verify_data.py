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
from itertools import chain, pairwise

from amrbench.data.audio import AudioFile, open_audio
from amrbench.data.audio_lengths import other_lengths
from amrbench.data.feature_source import matches_duration, text_name
from amrbench.data.local_dataset import FEATURES, DatasetFolder
from amrbench.data.near_files import about_missing_audio
from amrbench.data.recording_files import RecordingFiles
from amrbench.errors import DataError, some
from amrbench.files.annotations import file_name_fault
from amrbench.files.feature_file import IMPORTED, FeatureFile, open_feature_file
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
    present = folder.annotated_splits
    known: dict[str, list[Query]] = {}
    findings: dict[str, list[Finding]] = {}
    for split in folder.splits:
        if split not in present:
            texts = [f"no annotations: there is no {folder.annotations(split)}"]
            findings[split] = [Finding(text) for text in (*texts, *folder.near_annotations(split))]
            continue
        try:
            queries = folder.queries(split)
        except DataError as error:
            findings[split] = [Finding(str(error), fault=True)]
            continue
        findings[split] = [size_finding(folder, split, queries), *annotation_findings(queries)]
        vids = dict.fromkeys(query.vid for query in queries)
        for other, others in known.items():
            other_vids = {query.vid for query in others}
            shared = [vid for vid in vids if vid in other_vids]
            findings[split] += _counted(f"recordings are in {other} too", shared, fault=True)
            findings[split] += _counted(
                f"ids of queries are in {folder.annotations(other).name} too, with other sentences; import "
                "published features, whose files are named by ids, split by split (--split)",
                _ids_with_other_sentences(queries, others),
            )
        known[split] = queries
    of_files = (_of_feature_files, _of_missing_audio, _of_audio_lengths)
    for split, own in chain.from_iterable(findings_of(folder, known) for findings_of in of_files):
        findings[split] += own
    return VerificationReport(folder.name, findings)


def _ids_with_other_sentences(queries: Sequence[Query], others: Sequence[Query]) -> list[str]:
    sentences = {str(query.qid): query.query for query in others}
    return [qid for query in queries if sentences.get(qid := str(query.qid), query.query) != query.query]


def differs_from_published(folder: DatasetFolder, split: str) -> bool:
    """Whether the annotation file of a split is another one than the published file."""
    md5, content = folder.splits[split].md5, folder.annotations(split).read_bytes()
    return bool(md5) and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5


def size_finding(folder: DatasetFolder, split: str, queries: Sequence[Query]) -> Finding:
    """Compare the annotations of a split with what is published."""
    published = folder.splits[split]
    size = f"{len(queries):,} queries about {len({query.vid for query in queries}):,} recordings"
    if not published.md5:
        return Finding(f"{size}; {published.queries:,} were published" if published.queries else size)
    if not differs_from_published(folder, split):
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


# ---------------------------------------------------------------- audio


def _of_missing_audio(
    folder: DatasetFolder, known: Mapping[str, Sequence[Query]]
) -> Iterator[tuple[str, Iterable[Finding]]]:
    """Yield each split with findings about recordings that have no file; only extraction needs the files."""
    if not folder.audio_folder.is_dir() and folder.feature_files:
        return
    vids = {split: list(dict.fromkeys(query.vid for query in queries)) for split, queries in known.items()}
    every = list(dict.fromkeys(chain.from_iterable(vids.values())))
    files = RecordingFiles.with_audio(folder.audio_folder, every)
    try:
        paths = {vid: files.find(vid) for vid in every}
    except DataError as error:
        yield from ((split, [Finding(str(error), fault=True)]) for split in known)
        return
    count = Counter(paths.values())
    for split, own in vids.items():
        missing = [vid for vid in own if paths[vid] is None]
        shared = [vid for vid in own if paths[vid] and count[paths[vid]] > 1]
        yield split, _counted("recordings have the same file as another one", shared)
        text = f"recordings are not in {folder.audio_folder}, and 'amrbench data extract' needs them"
        yield split, _counted(text, missing)
        lines = about_missing_audio(files, missing, folder.root) if missing else []
        yield split, [Finding(line) for line in lines]


def _of_audio_lengths(
    folder: DatasetFolder, known: Mapping[str, Sequence[Query]]
) -> Iterator[tuple[str, Iterable[Finding]]]:
    """Yield each split with findings about recordings that are damaged, or not as long as annotated."""
    if not folder.audio_folder.is_dir():
        return
    for split, queries in known.items():
        durations = {query.vid: query.duration for query in queries}
        files: dict[str, AudioFile] = {}
        for vid in durations:
            try:
                if path := folder.recordings.find(vid):
                    files[vid] = open_audio(path)
            except DataError as error:
                yield split, [Finding(str(error), fault=True)]
        other = other_lengths(files.items(), durations)
        yield split, _counted("recordings are not as long as annotated", other)


# ---------------------------------------------------------------- features


def _of_feature_files(
    folder: DatasetFolder, known: Mapping[str, Sequence[Query]]
) -> Iterator[tuple[str, Iterable[Finding]]]:
    """Yield each split with its findings for each feature file."""
    paths = folder.feature_files
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


def feature_findings(
    encoder: str, file: FeatureFile, queries: Sequence[Query], *, read_rows: bool = True
) -> Iterator[Finding]:
    """Yield the defects of the features of a split.

    Args:
        encoder: Its label, for the texts.
        file: Its features.
        queries: Of the split.
        read_rows: Compare all rows with their checksums, which takes minutes for a large file.
    """
    counted = partial(_counted, encoder=encoder)
    durations = {query.vid: query.duration for query in queries}
    texts = {str(query.qid): text_name(query, file.header.text_by) for query in queries}
    rows = dict(zip(file.audio.ids, map(int, file.audio.lengths), strict=True))
    encoded, hop = set(file.text.ids), file.header.hop
    command = "import" if file.header.fingerprint == IMPORTED else "extract"
    without = [vid for vid in durations if vid not in rows]
    yield from counted("recordings have no features", without, fault=True)
    yield from counted(
        f"queries have sentences without features; 'amrbench data {command}' adds them",
        (qid for qid, text in texts.items() if text not in encoded),
        fault=True,
    )
    vids = [vid for vid in durations if vid in rows]
    try:
        file.audio.verify(vids if read_rows else ())
        names = [text for text in dict.fromkeys(texts.values()) if text in encoded]
        file.text.verify(names if read_rows else ())
    except DataError as error:
        yield Finding(str(error), fault=True)

    wrong = dict.fromkeys(vid for vid in vids if not matches_duration(rows[vid], durations[vid], hop))
    yield from counted("recordings have features of another length", wrong, fault=True)
    near = (vid for vid in vids if vid not in wrong and rows[vid] != int(durations[vid] / hop))
    yield from counted("recordings have some rows more or less than their duration, at most a tenth", near)
