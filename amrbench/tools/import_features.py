"""`amrbench data import`: published features from folders and archives into the feature file of a data set.

Each source is read once. Features are written to `<features>.importing/` in parts of some hundred items; an
interrupted import continues after them. The feature file is written at the end, when all recordings and
queries of the annotations have features.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from functools import partial as bind
from io import BytesIO
from pathlib import Path

from amrbench.data.feature_source import matches_duration
from amrbench.data.local_dataset import DatasetFolder
from amrbench.data.published_features import KINDS, ExpectedFeatures, Kind
from amrbench.data.worker_pool import Progress, Report, on_wait
from amrbench.errors import DataError, some
from amrbench.files.archives import ArchiveEntry, archive_entries
from amrbench.files.atomic import remove_leftovers, write_text_atomic
from amrbench.files.feature_file import RowTable, open_feature_file
from amrbench.files.feature_file_writer import (
    ConcatTable,
    InMemoryTable,
    SelectedTable,
    write_feature_file,
)
from amrbench.files.file_lock import exclusive
from amrbench.files.npz_features import AUDIO_KEY, TEXT_KEY, rows_in
from amrbench.slots.features import FeaturesPart
from amrbench.types import Rows

KEYS: Mapping[Kind, str] = {"audio": AUDIO_KEY, "text": TEXT_KEY}
ITEMS_A_PART = 512
LARGEST_FILE = 1 << 30
"""Bytes; the features of five hours have about a twentieth of it."""
MOST_WORDS = 1 << 14
"""Rows of a text; no text encoder returns more."""
_PLURALS: Mapping[Kind, str] = {"audio": "recordings", "text": "queries"}


@dataclass(frozen=True)
class ImportResult:
    """What an import did.

    Attributes:
        output: The feature file.
        counts: Number of recordings and queries in it.
        read: Number of files that were read.
        known: Number of files that were not read, because their recording or query was imported before.
        size: Bytes of the files that were read.
        seconds: Duration of the import.
        other_length: Number of recordings with one row more or less than their annotated duration.
        unknown: Number of files of recordings or queries that no annotation names.
        missing: Recordings and queries without features; empty unless the import was partial.
    """

    output: Path
    counts: Mapping[Kind, int]
    read: int
    known: int
    size: int
    seconds: float
    other_length: int
    unknown: int
    missing: Mapping[Kind, tuple[str, ...]]

    def text(self) -> str:
        """Return lines for people."""
        rate = f"{self.read / self.seconds:,.0f} files and {self.size / self.seconds / 1e6:,.0f} MB a second"
        lines = [f"{self.output}: {self.counts['audio']:,} recordings and {self.counts['text']:,} queries"]
        if self.read:
            lines.append(f"  read {self.read:,} files in {self.seconds:,.1f} s: {rate}")
        if self.known:
            lines.append(f"  {self.known:,} files were not read: their features were imported before")
        if self.other_length:
            lines.append(
                f"  {self.other_length:,} recordings have one row more or less than their duration; accepted"
            )
        if self.unknown:
            lines.append(f"  {self.unknown:,} files are of recordings or queries that no annotation names")
        for kind, names in self.missing.items():
            if names:
                lines.append(f"  without {len(names):,} {_PLURALS[kind]}: {some(names)}")
        return "\n".join(lines)


def import_features(
    folder: DatasetFolder,
    encoder: FeaturesPart,
    sources: Sequence[Path],
    *,
    partial: bool = False,
    report: Report,
) -> ImportResult:
    """Read published features of all splits whose annotation files exist.

    Args:
        folder: Of the data set.
        encoder: The single encoder that made the features.
        sources: Folders and archives, with `<anything>/<vid>.npz` and `<anything>/qid<qid>.npz`.
        partial: Accept that some are missing or damaged.
        report: Called with the progress.

    Raises:
        DataError: There are no annotations, the feature file is complete already, a source cannot be read,
            features are missing, damaged or of another recording, or the feature file cannot be written. What
            was read is kept.
    """
    expected = ExpectedFeatures.of(folder, encoder)
    output = folder.feature_file(encoder)
    with exclusive(output.with_suffix(".lock"), on_wait(report, str(output))):
        remove_leftovers(output)
        importer = _Importer(expected, output, report)
        importer.refuse_complete()
        return _import(importer, list(dict.fromkeys(sources)), partial=partial)


def _import(importer: _Importer, sources: Sequence[Path], *, partial: bool) -> ImportResult:
    start = time.monotonic()
    try:
        for source in sources:
            importer.read_all(source)
    finally:
        importer.write_part()
    missing = importer.missing
    importer.list_missing()
    if (importer.damaged or any(missing.values())) and not partial:
        raise DataError("\n".join(_incomplete_lines(importer)))
    if not importer.first_location or not any(importer.imported.values()):
        raise DataError(
            f"{importer.expected.dataset}: none of its features are in {', '.join(map(str, sources))}."
        )
    counts = importer.finish()
    return ImportResult(
        output=importer.output,
        counts=counts,
        read=importer.read,
        known=importer.known,
        size=importer.size,
        seconds=time.monotonic() - start,
        other_length=importer.other_length,
        unknown=importer.unknown,
        missing=missing,
    )


@dataclass(eq=False)
class _Importer:
    """The state of an import."""

    expected: ExpectedFeatures
    output: Path
    report: Report
    read: int = 0
    known: int = 0
    size: int = 0
    unknown: int = 0
    other_length: int = 0
    damaged: list[str] = field(default_factory=list)
    pending: dict[Kind, dict[str, Rows]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    """Rows that are read and not written to a part yet."""
    first_location: dict[tuple[Kind, str], str] = field(default_factory=dict)
    """The first file of each recording or query."""

    @property
    def folder(self) -> Path:
        return self.output.with_suffix(".importing")

    @cached_property
    def parts(self) -> list[Path]:
        """Return the feature files with what was read before: the output and the parts."""
        files = [self.output] * self.output.is_file() + sorted(self.folder.glob("part-*.h5"))
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
    def imported(self) -> dict[Kind, set[str]]:
        """Return the recordings and queries whose features are read and written."""
        files = [open_feature_file(file) for file in self.parts]
        return {
            "audio": {vid for file in files for vid in file.audio.ids},
            "text": {qid for file in files for qid in file.text.ids},
        }

    @property
    def missing(self) -> dict[Kind, tuple[str, ...]]:
        """Return the recordings and queries of the annotations that have no features."""
        return {
            kind: tuple(name for name in self.expected.names(kind) if name not in self.imported[kind])
            for kind in KINDS
        }

    @property
    def missing_list(self) -> Path:
        return self.output.with_suffix(".missing.txt")

    def list_missing(self) -> None:
        """Write the names of missing files to `missing_list`, or delete it if nothing is missing."""
        names = [*self.missing["audio"], *(f"qid{qid}" for qid in self.missing["text"])]
        if names:
            write_text_atomic(self.missing_list, "".join(f"{name}.npz\n" for name in names))
        else:
            self.missing_list.unlink(missing_ok=True)

    def refuse_complete(self) -> None:
        """Raise DataError if the feature file has all recordings and queries of the annotations."""
        if self.output.is_file() and not any(self.missing.values()):
            raise DataError(
                f"{self.output}: is complete already, so nothing was read. Move it away to import it again."
            )

    def read_all(self, source: Path) -> None:
        """Read a folder or archive."""
        total = sum(len(self.expected.names(kind)) for kind in KINDS)
        for entry in archive_entries(source):
            self._read_entry(entry)
            if sum(map(len, self.pending.values())) >= ITEMS_A_PART:
                self.write_part()
                done = sum(map(len, self.imported.values()))
                self.report(Progress(f"{self.expected.dataset}: importing", done, total))

    def _read_entry(self, entry: ArchiveEntry) -> None:
        """Read one file, unless no annotation names its recording or query or it was imported before."""
        item = self.expected.identify(entry.path)
        if item is None:
            self.unknown += entry.path.suffix in (".npz", ".npy")
            return
        self._refuse_duplicate(item, entry)
        kind, name = item
        if name in self.imported[kind]:
            self.known += 1
            return
        try:
            self.pending[kind][name] = self._rows(kind, name, entry)
        except DataError as error:
            self.damaged.append(str(error))

    def _rows(self, kind: Kind, name: str, entry: ArchiveEntry) -> Rows:
        if entry.size > LARGEST_FILE:
            raise DataError(
                f"{entry.location}: has {entry.size:,} bytes; features of one recording or query have at "
                f"most {LARGEST_FILE:,}. Copy or download the file again."
            )
        data = entry.read()
        self.read, self.size = self.read + 1, self.size + len(data)
        check = bind(self._check_length if kind == "audio" else _check_words, name, entry)
        width = self.expected.header.width_of(kind)
        rows = rows_in(BytesIO(data), entry.location, key=KEYS[kind], width=width, check=check)
        if kind == "audio":
            self.other_length += len(rows) != int(self.expected.durations[name] / self.expected.header.hop)
        return rows

    def _check_length(self, vid: str, entry: ArchiveEntry, count: int) -> None:
        duration, hop = self.expected.durations[vid], self.expected.header.hop
        if not matches_duration(count, duration, hop):
            raise DataError(
                f"{entry.location}: {count} rows of {hop:g} s cannot be those of {vid!r}, "
                f"which lasts {duration:g} s."
            )

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

    def write_part(self) -> None:
        """Write the pending rows as one part."""
        if not any(self.pending.values()):
            return
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{self.folder}: cannot be created ({error.strerror}). Move away the file of this name, or "
                "make the folder above writable."
            ) from error
        # One more than the largest number, not their count: parts may have been deleted.
        numbers = [int(path.stem.removeprefix("part-")) for path in self.folder.glob("part-*.h5")]
        file = self.folder / f"part-{max(numbers, default=-1) + 1:06d}.h5"
        audio, text = (InMemoryTable(tuple(rows), tuple(rows.values())) for rows in self.pending.values())
        write_feature_file(file, self.expected.header, audio=audio, text=text)
        self.parts.append(file)
        for kind in KINDS:
            self.imported[kind].update(self.pending[kind])
            self.pending[kind] = {}

    def finish(self) -> dict[Kind, int]:
        """Write the feature file in the order of the annotations, delete the parts, and return its counts.

        Raises:
            DataError: A part is missing or incomplete, or the file cannot be written.
        """
        files = [open_feature_file(file) for file in self.parts]
        audio = self._in_order("audio", ConcatTable(tuple(file.audio for file in files)))
        text = self._in_order("text", ConcatTable(tuple(file.text for file in files)))
        write_feature_file(self.output, self.expected.header, audio=audio, text=text)
        shutil.rmtree(self.folder, ignore_errors=True)
        return {"audio": len(audio.ids), "text": len(text.ids)}

    def _in_order(self, kind: Kind, table: RowTable) -> SelectedTable:
        present = set(table.ids)
        lost = self.imported[kind] - present
        if lost:
            raise DataError(
                f"{self.folder}: features of {len(lost):,} {_PLURALS[kind]} were read and are missing now: "
                f"{some(sorted(lost))}. Delete the folder and import again."
            )
        return SelectedTable(table, {name: name for name in self.expected.names(kind) if name in present})


def _check_words(qid: str, entry: ArchiveEntry, count: int) -> None:
    if count > MOST_WORDS:
        raise DataError(
            f"{entry.location}: {count} rows cannot be those of the text of query {qid!r}; the largest "
            f"number is {MOST_WORDS}."
        )


def _incomplete_lines(importer: _Importer) -> Iterator[str]:
    yield f"{importer.expected.dataset}: not all features could be imported."
    for kind, names in importer.missing.items():
        if names:
            total = len(importer.expected.names(kind))
            yield f"  {len(names):,} of {total:,} {_PLURALS[kind]} have none: {some(names)}."
    shown = importer.damaged[:10]
    yield from (f"  {text}" for text in shown)
    if len(importer.damaged) > len(shown):
        yield f"  and {len(importer.damaged) - len(shown)} more are damaged."
    if importer.missing_list.is_file():
        yield f"  All missing files are listed in {importer.missing_list}."
    if importer.folder.is_dir():
        yield f"  The other features are kept in {importer.folder}."
    yield "  Import the missing files too, or accept this with --partial."
