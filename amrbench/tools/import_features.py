"""`amrbench data import`: published features from folders and archives into the feature file of a data set.

Each source is read once. Features are written to `<features>.importing/` in parts of some hundred items; an
interrupted import keeps them where their files are the same. The feature file is written at the end, when all
recordings and queries of the annotations have features.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np

from amrbench.data.local_dataset import DatasetFolder
from amrbench.data.near_files import NearFiles
from amrbench.data.published_features import ExpectedFeatures, refuse_row_count
from amrbench.data.unread_files import not_numbers
from amrbench.data.worker_pool import Progress, Report, on_wait
from amrbench.errors import DataError, some
from amrbench.files.archives import ARRAYS, ArchiveEntry, archive_entries
from amrbench.files.atomic import remove_leftovers, write_text_atomic
from amrbench.files.claim import claim_beside, exclusive
from amrbench.files.feature_file import KINDS, Kind, open_feature_file
from amrbench.files.feature_file_writer import (
    ConcatTable,
    InMemoryTable,
    SelectedTable,
    write_feature_file,
)
from amrbench.files.folder_files import is_hidden
from amrbench.files.npz_features import AUDIO_KEY, LARGEST_ARRAY, TEXT_KEY, rows_in
from amrbench.slots.features import FeaturesPart
from amrbench.tools.import_parts import Origins, new_part, origins_in, origins_of, write_origins
from amrbench.types import Rows

KEYS: Mapping[Kind, str] = {"audio": AUDIO_KEY, "text": TEXT_KEY}
ITEMS_A_PART = 512
LARGEST_FILE = LARGEST_ARRAY
"""Bytes of a file."""
_PLURALS: Mapping[Kind, str] = {"audio": "recordings", "text": "queries"}
_DAMAGED_SHOWN = 10


@dataclass
class ImportResult:
    """What an import did.

    Attributes:
        output: The feature file.
        split: Whose features were read; empty for all splits.
        counts: Number of recordings and queries in it.
        read: Number of files that were read.
        known: Number of files that were not read, because their recording or query was imported before.
        again: Number of files that were read although there were features, which came from another file.
        kept: Number of recordings and queries that were imported before, and of which no source has a file.
        size: Bytes of the files that were read.
        seconds: Duration of the import.
        other_length: Number of recordings with some rows more or less than their annotated duration.
        unknown: Number of files of recordings or queries that no annotation of these splits names.
        missing: Recordings and queries without features; empty unless the import was partial.
    """

    output: Path
    split: str = ""
    counts: Mapping[Kind, int] = field(default_factory=dict)
    read: int = 0
    known: int = 0
    again: int = 0
    kept: int = 0
    size: int = 0
    seconds: float = 0.0
    other_length: int = 0
    unknown: int = 0
    missing: Mapping[Kind, Sequence[str]] = field(default_factory=dict)

    def text(self) -> str:
        """Return lines for people."""
        rate = f"{self.read / self.seconds:,.0f} files and {self.size / self.seconds / 1e6:,.0f} MB a second"
        lines = [f"{self.output}: {self.counts['audio']:,} recordings and {self.counts['text']:,} queries"]
        if self.read:
            lines.append(f"  read {self.read:,} files in {self.seconds:,.1f} s: {rate}")
        if self.known:
            lines.append(f"  {self.known:,} files were not read: their features were imported before")
        if self.again:
            lines.append(f"  {self.again:,} files replace features of other files that were imported before")
        if self.kept:
            lines.append(f"  {self.kept:,} recordings and queries keep features that were imported before")
        if self.other_length:
            lines.append(
                f"  {self.other_length:,} recordings have some rows more or less than their duration, "
                "at most a tenth; accepted"
            )
        if self.unknown:
            where = f" of {self.split!r}" if self.split else ""
            lines.append(
                f"  {self.unknown:,} files are of recordings or queries that no annotation{where} names"
            )
        lines += [
            f"  without {len(ids):,} {_PLURALS[kind]}: {some(ids)}" for kind, ids in self.missing.items()
        ]
        return "\n".join(lines)


def import_features(
    folder: DatasetFolder,
    encoder: FeaturesPart,
    sources: Sequence[Path],
    *,
    split: str = "",
    partial: bool = False,
    report: Report,
) -> ImportResult:
    """Read published features of a split, or of all splits whose annotation files exist.

    Args:
        folder: Of the data set.
        encoder: The single encoder that made the features.
        sources: Folders and archives, with `<anything>/<vid>.npz` and `<anything>/qid<qid>.npz`.
        split: Whose features the sources hold; all splits by default. Features of other splits that were
            imported before are kept.
        partial: Accept that some are missing or damaged.
        report: Called with the progress.

    Raises:
        DataError: There are no annotations, ids do not say whose text a file is, the feature file is complete
            already, a source cannot be read, features are missing, damaged or of another recording, or the
            feature file cannot be written. What was read is kept.
    """
    expected = ExpectedFeatures.of(folder, encoder, split)
    output, unique = folder.feature_file(encoder), dict.fromkeys(sources)
    with exclusive(claim_beside(output), on_wait(report, str(output))):
        remove_leftovers(output)
        importer = _Importer(expected, ImportResult(output, split), report)
        if output.is_file() and not importer.missing:
            raise DataError(
                f"{output}: is complete already, so nothing was read. Move it away to import it again."
            )
        start = time.monotonic()
        try:
            for source in unique:
                importer.read_all(source)
        finally:
            importer.write_part()
        importer.list_missing(accept=partial)
        if not importer.first_location or not importer.imported:
            line = f"{expected.dataset}: none of its features are in {', '.join(map(str, unique))}."
            raise DataError("\n".join([line, *importer.near_lines]))
        importer.finish()
        importer.result.seconds = time.monotonic() - start
        return importer.result


def _file_stem(kind: Kind, own: str) -> str:
    return own if kind == "audio" else f"qid{own}"


@dataclass(eq=False)
class _Importer:
    """The state of an import. Recordings and queries are named by their kind and id."""

    expected: ExpectedFeatures
    result: ImportResult
    report: Report
    damaged: list[str] = field(default_factory=list)
    pending: dict[tuple[Kind, str], Rows] = field(default_factory=dict)
    """Rows that are read and not written to a part yet."""
    origins: Origins = field(default_factory=dict)
    """Of pending rows, by kind and name."""
    outdated: set[tuple[Kind, str]] = field(default_factory=set)
    """Kinds and names of features in parts whose file is another one now, until that is read."""
    first_location: dict[tuple[Kind, str], str] = field(default_factory=dict)
    """The first file of each recording or query."""
    others: list[Path] = field(default_factory=list)
    """Files that are of no recording or query of the annotations."""

    @property
    def folder(self) -> Path:
        return self.result.output.with_suffix(".importing")

    @cached_property
    def parts(self) -> list[Path]:
        """Return the feature files with what was read before: the output and the parts."""
        output = self.result.output
        files = [output] * output.is_file() + sorted(self.folder.glob("part-*.h5"))
        for file in files:
            header = open_feature_file(file).header
            # The name of the data set may differ, because its folder may have been moved.
            if replace(header, source=self.expected.header.source) != self.expected.header:
                raise DataError(
                    f"{file}: has features of {header.backend!r} ({header.fingerprint}), and those of "
                    f"{self.expected.header.backend!r} cannot be added. Move it away."
                )
        return files

    @cached_property
    def imported(self) -> set[tuple[Kind, str]]:
        """Return the recordings and queries whose features are read and written."""
        files = [open_feature_file(file) for file in self.parts]
        names: Mapping[Kind, set[str]] = {
            "audio": {name for file in files for name in file.audio.ids},
            "text": {name for file in files for name in file.text.ids},
        }
        expected = self.expected
        return {
            (kind, own)
            for kind in KINDS
            for own in expected.ids(kind)
            if expected.name(kind, own) in names[kind]
        }

    @cached_property
    def origins_before(self) -> Origins:
        """Return the origins of what an unfinished import has read; none for what is in the feature file."""
        return origins_in(file for file in self.parts if file != self.result.output)

    @property
    def missing(self) -> dict[Kind, list[str]]:
        """Return the ids in the annotations that have no features, without kinds of which none is missing."""
        ids = {
            kind: [own for own in self.expected.ids(kind) if (kind, own) not in self.imported]
            for kind in KINDS
        }
        return {kind: own for kind, own in ids.items() if own}

    def read_all(self, source: Path) -> None:
        """Read a folder or archive."""
        total = sum(len(self.expected.ids(kind)) for kind in KINDS)
        origin_of = origins_of(source)
        for entry in archive_entries(source):
            item = self.expected.identify(entry.path)
            if item is None:
                if not is_hidden(entry.path):
                    self.others.append(source / entry.path)
                    self.result.unknown += entry.path.suffix.lower() in ARRAYS
                continue
            self._refuse_duplicate(item, entry)
            named, origin = (item[0], self.expected.name(*item)), origin_of(entry)
            if item in self.imported:
                self._refuse_other_recording(item, entry)
                if self.origins_before.get(named, origin) == origin:
                    self.result.known += 1
                    continue
                self.imported.discard(item)
                self.outdated.add(named)
                self.result.again += 1
            try:
                self.pending[item] = self._rows(*item, entry)
                self.origins[named] = origin
            except DataError as error:
                self.damaged.append(str(error))
            if len(self.pending) >= ITEMS_A_PART:
                self.write_part()
                self.report(Progress(f"{self.expected.dataset}: importing", len(self.imported), total))

    def _refuse_duplicate(self, item: tuple[Kind, str], entry: ArchiveEntry) -> None:
        first = self.first_location.get(item)
        if first == entry.location:
            raise DataError(
                f"{entry.location}: is in the archive twice, so it is unclear which are the features of "
                f"{item[1]!r}. Download the archive again, or unpack it and name the folder."
            )
        if first is not None:
            raise DataError(
                f"{item[1]!r} has features in {first} and in {entry.location}. Name the folders or archives "
                "of one encoder only."
            )
        self.first_location[item] = entry.location

    def _refuse_other_recording(self, item: tuple[Kind, str], entry: ArchiveEntry) -> None:
        """Raise DataError where a recording of several splits has other features than were imported."""
        kind, vid = item
        if kind == "text" or vid not in self.expected.shared:
            return
        tables = [open_feature_file(file).audio for file in self.parts]
        before = next(table for table in tables if vid in table.ids).rows(vid)
        if not np.array_equal(before, self._rows(kind, vid, entry)):
            raise DataError(
                f"{entry.location}: has other features than were imported before, and {vid!r} is a recording "
                f"of several splits of {self.expected.dataset}. Give each recording an id of its own in the "
                "annotations."
            )

    def _rows(self, kind: Kind, name: str, entry: ArchiveEntry) -> Rows:
        if entry.size > LARGEST_FILE:
            raise DataError(
                f"{entry.location}: has {entry.size:,} bytes; features of one recording or query have at "
                f"most {LARGEST_FILE:,}. Copy or download the file again."
            )
        data = entry.read()
        self.result.read += 1
        self.result.size += len(data)
        header = self.expected.header
        duration = self.expected.durations[name] if kind == "audio" else None
        width = header.width_of(kind)

        def check(count: int) -> None:
            refuse_row_count(entry.location, name, count, duration=duration, hop=header.hop)

        rows = rows_in(BytesIO(data), entry.location, key=KEYS[kind], width=width, check=check)
        self.result.other_length += duration is not None and len(rows) != int(duration / header.hop)
        return rows

    def write_part(self) -> None:
        """Write the pending rows as one part."""
        if not self.pending:
            return
        file = new_part(self.folder)
        by_kind: dict[Kind, dict[str, Rows]] = {kind: {} for kind in KINDS}
        for (kind, own), rows in self.pending.items():
            by_kind[kind][self.expected.name(kind, own)] = rows
        audio, text = (InMemoryTable(tuple(rows), tuple(rows.values())) for rows in by_kind.values())
        write_origins(file, self.origins)
        write_feature_file(file, self.expected.header, audio=audio, text=text)
        self.parts.append(file)
        self.imported.update(self.pending)
        self.outdated.difference_update(self.origins)
        self.pending.clear()
        self.origins.clear()

    def list_missing(self, *, accept: bool) -> None:
        """Write the names of missing files to a list beside the output; delete it if nothing is missing.

        Raises:
            DataError: Features are missing or damaged, and this is not accepted.
        """
        self.result.missing, file = self.missing, self.result.output.with_suffix(".missing.txt")
        names = [_file_stem(kind, own) for kind, several in self.missing.items() for own in several]
        if names:
            write_text_atomic(file, "".join(f"{name}.npz\n" for name in names))
        else:
            file.unlink(missing_ok=True)
        if accept or not (names or self.damaged):
            return
        lines = [f"{self.expected.dataset}: not all features could be imported."]
        for kind, own in self.result.missing.items():
            total = len(self.expected.ids(kind))
            lines.append(f"  {len(own):,} of {total:,} {_PLURALS[kind]} have none: {some(own)}.")
        lines += self.near_lines
        lines += [f"  {text}" for text in self.damaged[:_DAMAGED_SHOWN]]
        if len(self.damaged) > _DAMAGED_SHOWN:
            lines.append(f"  and {len(self.damaged) - _DAMAGED_SHOWN} more are damaged.")
        if names:
            lines.append(f"  All missing files are listed in {file}.")
        if self.folder.is_dir():
            lines.append(
                f"  The other features are kept in {self.folder}; only files that change are read again."
            )
        lines.append(
            "  Correct or add these files and give the same command again, import them from another place, "
            "or accept this with --partial."
        )
        raise DataError("\n".join(lines))

    @property
    def near_lines(self) -> list[str]:
        """Return lines on files that are there instead of missing ones."""
        absent = [
            _file_stem(kind, own)
            for kind, several in self.missing.items()
            for own in several
            if (kind, own) not in self.first_location
        ]
        return [f"  {line}" for line in NearFiles(self.others, ARRAYS, not_numbers).about(absent)]

    def finish(self) -> None:
        """Write the feature file in the order of the annotations, and delete the parts.

        Raises:
            DataError: A part is missing or incomplete, or the file cannot be written.
        """
        files, selected = [open_feature_file(file) for file in self.parts], {}
        for file in files:  # Otherwise, rows that have changed on disk would get new checksums.
            file.verify()
        for kind in KINDS:
            table = ConcatTable(tuple(file.audio if kind == "audio" else file.text for file in files))
            # Of a name in several tables, the last one counts.
            present = {name for name in table.ids if (kind, name) not in self.outdated}
            imported = {own: self.expected.name(kind, own) for other, own in self.imported if other == kind}
            lost = sorted(own for own, name in imported.items() if name not in present)
            if lost:
                raise DataError(
                    f"{self.folder}: features of {len(lost):,} {_PLURALS[kind]} were read and are missing "
                    f"now: {some(lost)}. Delete the folder and import again."
                )
            ordered = (name for name in self.expected.order[kind] if name in present)
            # A split whose annotations are elsewhere at the moment keeps its features too.
            names = dict.fromkeys([*ordered, *(name for name in table.ids if name in present)])
            selected[kind] = SelectedTable(table, {name: name for name in names})
        header, audio, text = self.expected.header, selected["audio"], selected["text"]
        write_feature_file(self.result.output, header, audio=audio, text=text)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.result.kept = len(self.imported - self.first_location.keys())
        self.result.counts = {kind: len(table.ids) for kind, table in selected.items()}
