"""Published feature files into the feature file of a data set.

Files are read once, from folders and archives, and written in parts of some hundred items below
`<features>.importing/`; an import that was broken off goes on after them. The feature file itself appears at
the end, when everything that the annotations ask for is there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from functools import partial as bound
from io import BytesIO
from pathlib import Path

from amrbench.data.home import Home
from amrbench.data.lengths import fits
from amrbench.data.prepare import Progress, Tell, told_waiting
from amrbench.data.wish import KINDS, Kind, Wish
from amrbench.errors import DataError, some
from amrbench.files.locks import exclusive
from amrbench.files.members import Member, members
from amrbench.files.published import AUDIO_KEY, TEXT_KEY, rows_in
from amrbench.files.store import Rows, Table, open_store
from amrbench.files.store_writer import Chosen, Items, Joined, write_store
from amrbench.files.whole import drop_leftovers, write_whole
from amrbench.slots import FeaturesPart

KEYS: Mapping[Kind, str] = {"audio": AUDIO_KEY, "text": TEXT_KEY}
IN_A_PART = 512
LARGEST_FILE = 1 << 30
"""Bytes; the rows of five hours take a twentieth of it."""
MOST_WORDS = 1 << 14
"""Rows of a text; no encoder of sentences gives so many."""
_WORDS: Mapping[Kind, str] = {"audio": "recordings", "text": "queries"}


@dataclass(frozen=True)
class Import:
    """What an import did.

    Attributes:
        store: The feature file.
        counts: Recordings and queries in it.
        read: Files read this time.
        known: Files that were not read, because what they are the features of was imported before.
        size: Their bytes.
        seconds: How long it took.
        other_length: Recordings with a row more or less than their annotated duration has seconds.
        unknown: Files that no annotation asks for.
        missing: What is not in it, if that was allowed.
    """

    store: Path
    counts: Mapping[Kind, int]
    read: int
    known: int
    size: int
    seconds: float
    other_length: int
    unknown: int
    missing: Mapping[Kind, tuple[str, ...]]

    def text(self) -> str:
        """Return it as lines for people."""
        rate = f"{self.read / self.seconds:,.0f} files and {self.size / self.seconds / 1e6:,.0f} MB a second"
        lines = [f"{self.store}: {self.counts['audio']:,} recordings and {self.counts['text']:,} queries"]
        if self.read:
            lines.append(f"  read {self.read:,} files in {self.seconds:,.1f} s: {rate}")
        if self.known:
            lines.append(f"  {self.known:,} files were not read: what they are features of was there before")
        if self.other_length:
            lines.append(
                f"  {self.other_length:,} recordings have a row more or less than their duration; accepted"
            )
        if self.unknown:
            lines.append(f"  {self.unknown:,} files are of recordings or queries that no annotation names")
        lacking = [(_WORDS[kind], names) for kind, names in self.missing.items() if names]
        lines += [f"  without {len(names):,} {word}: {some(names)}" for word, names in lacking]
        return "\n".join(lines)


def import_features(
    home: Home,
    encoder: FeaturesPart,
    sources: Sequence[Path],
    *,
    partial: bool = False,
    tell: Tell,
) -> Import:
    """Read published features of all splits whose annotations are placed.

    Args:
        home: The data set.
        encoder: What made the features, with one member.
        sources: Folders and archives, with `<anything>/<vid>.npz` and `<anything>/qid<qid>.npz`.
        partial: Accept that some are missing or damaged.
        tell: Called as the work goes on.

    Raises:
        DataError: No annotations are placed, the feature file is complete already, a source cannot be read,
            features are missing, damaged or of another recording, or the result cannot be written. What was
            read is kept.
    """
    wanted = Wish.of(home, encoder)
    store = home.store(encoder)
    with exclusive(store.with_suffix(".lock"), told_waiting(tell, str(store))):
        drop_leftovers(store)
        work = _Work(wanted, store, tell)
        work.refuse_complete()
        return _import(work, list(dict.fromkeys(sources)), partial=partial)


def _import(work: _Work, sources: Sequence[Path], *, partial: bool) -> Import:
    started = time.monotonic()
    try:
        for source in sources:
            work.take_all(source)
    finally:
        work.write_part()
    missing = work.missing
    work.list_missing()
    if (work.damaged or any(missing.values())) and not partial:
        raise DataError(_what_lacks(work))
    if not work.asked_for or not any(work.found.values()):
        raise DataError(f"{work.wish.name}: none of its features are in {', '.join(map(str, sources))}.")
    counts = work.finish()
    return Import(
        store=work.store,
        counts=counts,
        read=work.read,
        known=work.known,
        size=work.size,
        seconds=time.monotonic() - started,
        other_length=work.other_length,
        unknown=work.unknown,
        missing=missing,
    )


@dataclass(eq=False)
class _Work:
    """An import that is going on."""

    wish: Wish
    store: Path
    tell: Tell
    read: int = 0
    known: int = 0
    size: int = 0
    unknown: int = 0
    other_length: int = 0
    damaged: list[str] = field(default_factory=list)
    _part: dict[Kind, dict[str, Rows]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    _seen: dict[tuple[Kind, str], str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Return where the parts lie."""
        return self.store.with_suffix(".importing")

    @cached_property
    def parts(self) -> list[Path]:
        """Return the files that hold what was read before."""
        files = sorted(self.folder.glob("part-*.h5"))
        found = [self.store] * self.store.is_file() + files
        for file in found:
            header = open_store(file).header
            # The data set may be called otherwise today: its folder was moved, or is typed in another way.
            if replace(header, source=self.wish.header.source) != self.wish.header:
                raise DataError(
                    f"{file}: holds features of {header.backend!r} ({header.fingerprint}), and those of "
                    f"{self.wish.header.backend!r} cannot be added. Move it away."
                )
        return found

    @cached_property
    def found(self) -> dict[Kind, set[str]]:
        """Return the names of what was read."""
        stores = [open_store(file) for file in self.parts]
        return {
            "audio": {name for store in stores for name in store.audio.ids},
            "text": {name for store in stores for name in store.text.ids},
        }

    @property
    def missing(self) -> dict[Kind, tuple[str, ...]]:
        """Return the names of what the annotations ask for and no file had."""
        return {
            kind: tuple(name for name in self.wish.ids(kind) if name not in self.found[kind])
            for kind in KINDS
        }

    @property
    def asked_for(self) -> int:
        """Return how many files the annotations ask for."""
        return len(self._seen)

    @property
    def missing_list(self) -> Path:
        """Return the file that names everything that is missing."""
        return self.store.with_suffix(".missing.txt")

    def list_missing(self) -> None:
        """Write down what is missing, as names of files; where nothing is, there is no such file."""
        names = [*self.missing["audio"], *(f"qid{name}" for name in self.missing["text"])]
        if names:
            write_whole(self.missing_list, "".join(f"{name}.npz\n" for name in names))
        else:
            self.missing_list.unlink(missing_ok=True)

    def refuse_complete(self) -> None:
        """Raise DataError where the feature file has all that the annotations ask for."""
        if self.store.is_file() and not any(self.missing.values()):
            raise DataError(
                f"{self.store}: is complete already, so nothing was read. Move it away to import anew."
            )

    def take_all(self, source: Path) -> None:
        """Read a folder or archive."""
        total = sum(len(self.wish.ids(kind)) for kind in KINDS)
        for member in members(source):
            self.take(member)
            if sum(map(len, self._part.values())) >= IN_A_PART:
                self.write_part()
                done = sum(map(len, self.found.values()))
                self.tell(Progress(f"{self.wish.name}: importing", done, total))

    def take(self, member: Member) -> None:
        """Read one file, unless nobody asks for it or it was read before."""
        item = self.wish.find(member)
        if item is None:
            self.unknown += member.path.suffix in (".npz", ".npy")
            return
        self._refuse_second(item, member)
        kind, name = item
        if name in self.found[kind]:
            self.known += 1
            return
        try:
            self._part[kind][name] = self._rows(kind, name, member)
        except DataError as error:
            self.damaged.append(str(error))

    def _rows(self, kind: Kind, name: str, member: Member) -> Rows:
        if member.size > LARGEST_FILE:
            raise DataError(
                f"{member.place}: has {member.size:,} bytes; more than {LARGEST_FILE:,} cannot be features "
                "of one recording or query. Copy or download the file again."
            )
        data = member.read()
        self.read, self.size = self.read + 1, self.size + len(data)
        check = bound(self._check_length if kind == "audio" else _check_words, name, member)
        width = self.wish.header.width_of(kind)
        rows = rows_in(BytesIO(data), member.place, key=KEYS[kind], width=width, check=check)
        if kind == "audio":
            self.other_length += len(rows) != int(self.wish.durations[name] / self.wish.header.hop)
        return rows

    def write_part(self) -> None:
        """Write what is in memory."""
        if not any(self._part.values()):
            return
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{self.folder}: cannot be made a folder for what was read ({error.strerror}). "
                "Move away what lies there, or look whether the folder above may be written."
            ) from error
        file = self._next_file()
        write_store(
            file, self.wish.header, audio=_items(self._part["audio"]), text=_items(self._part["text"])
        )
        self.parts.append(file)
        for kind in KINDS:
            self.found[kind].update(self._part[kind])
            self._part[kind] = {}

    def finish(self) -> dict[Kind, int]:
        """Write the feature file, in the order of the annotations, drop the parts, and count what it has.

        Raises:
            DataError: The parts no longer have all that was read, or the file cannot be written.
        """
        stores = [open_store(file) for file in self.parts]
        audio = self._chosen("audio", Joined(tuple(store.audio for store in stores)))
        text = self._chosen("text", Joined(tuple(store.text for store in stores)))
        write_store(self.store, self.wish.header, audio=audio, text=text)
        shutil.rmtree(self.folder, ignore_errors=True)
        return {"audio": len(audio.ids), "text": len(text.ids)}

    def _chosen(self, kind: Kind, table: Table) -> Chosen:
        known = set(table.ids)
        lost = self.found[kind] - known
        if lost:
            raise DataError(
                f"{self.folder}: features of {len(lost):,} {_WORDS[kind]} that were read are no longer "
                f"there: {some(sorted(lost))}. Delete the folder and import again."
            )
        return Chosen(table, {name: name for name in self.wish.ids(kind) if name in known})

    def _next_file(self) -> Path:
        """Return a new name; that there are fewer parts than numbers must cost none of them."""
        numbers = [int(path.stem.removeprefix("part-")) for path in self.folder.glob("part-*.h5")]
        return self.folder / f"part-{max(numbers, default=-1) + 1:06d}.h5"

    def _refuse_second(self, item: tuple[Kind, str], member: Member) -> None:
        first = self._seen.get(item)
        if first == member.place:
            raise DataError(
                f"{member.place}: stands twice in the archive, so it is not known which are the features of "
                f"{item[1]!r}. Get the archive from its public home, or unpack it and name the folder."
            )
        if first is not None:
            raise DataError(
                f"{item[1]!r} has features in {first} and in {member.place}. Name the folders or archives of "
                "one encoder only."
            )
        self._seen[item] = member.place

    def _check_length(self, vid: str, member: Member, count: int) -> None:
        duration, hop = self.wish.durations[vid], self.wish.header.hop
        if not fits(count, duration, hop):
            raise DataError(
                f"{member.place}: {count} rows of {hop:g} s cannot be those of {vid!r}, "
                f"which lasts {duration:g} s."
            )


def _check_words(name: str, member: Member, count: int) -> None:
    if count > MOST_WORDS:
        raise DataError(
            f"{member.place}: {count} rows cannot be those of the text of query {name!r}; {MOST_WORDS} are "
            "the most."
        )


def _items(rows: Mapping[str, Rows]) -> Items:
    return Items(tuple(rows), tuple(rows.values()))


def _what_lacks(work: _Work) -> str:
    return "\n".join(_lacking(work))


def _lacking(work: _Work) -> Iterator[str]:
    yield f"{work.wish.name}: not all features could be imported."
    for kind, names in work.missing.items():
        if names:
            yield f"  {len(names):,} of {len(work.wish.ids(kind)):,} {_WORDS[kind]} have none: {some(names)}."
    shown = work.damaged[:10]
    yield from (f"  {each}" for each in shown)
    if len(work.damaged) > len(shown):
        yield f"  and {len(work.damaged) - len(shown)} more are damaged."
    if work.missing_list.is_file():
        yield f"  All that is missing is listed in {work.missing_list}."
    if work.folder.is_dir():
        yield f"  What was read is kept in {work.folder}."
    yield "  Name the missing files in another import, or accept this with --partial."
