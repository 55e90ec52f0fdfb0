"""Published feature files into the feature file of a data set.

Files are read once, from folders and archives, and written in parts of some hundred items below
`<features>.importing/`; an import that was broken off goes on after them. The feature file itself appears at
the end, when everything that the annotations ask for is there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Literal

from amrbench.annotations import Query, safe_id
from amrbench.data.home import Home, text_id
from amrbench.data.lengths import fits
from amrbench.data.prepare import Progress, Tell, told_waiting
from amrbench.errors import DataError, some
from amrbench.files.locks import exclusive
from amrbench.files.members import Member, members
from amrbench.files.published import AUDIO_KEY, TEXT_KEY, rows_in
from amrbench.files.store import Header, Rows, Table, open_store
from amrbench.files.store_writer import Chosen, Items, Joined, write_store
from amrbench.slots import FeaturesPart

Kind = Literal["audio", "text"]
KINDS: tuple[Kind, ...] = ("audio", "text")
KEYS: Mapping[Kind, str] = {"audio": AUDIO_KEY, "text": TEXT_KEY}
IN_A_PART = 512
IMPORTED = "imported"
_WORDS: Mapping[Kind, str] = {"audio": "recordings", "text": "queries"}


@dataclass(frozen=True)
class Import:
    """What an import did.

    Attributes:
        store: The feature file.
        counts: Recordings and queries in it.
        read: Files read this time.
        size: Their bytes.
        seconds: How long it took.
        other_length: Recordings with a row more or less than their annotated duration has seconds.
        unknown: Files that no annotation asks for.
        missing: What is not in it, if that was allowed.
    """

    store: Path
    counts: Mapping[Kind, int]
    read: int
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
        DataError: No annotations are placed, a source cannot be read, features are missing, damaged or of
            another recording, or the result cannot be written. What was read is kept.
    """
    wanted = Wish.of(home, encoder)
    store = home.store(encoder)
    store.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(store.with_suffix(".lock"), told_waiting(tell, str(store))):
        work = _Work(wanted, store, tell)
        started = time.monotonic()
        try:
            for source in sources:
                work.take_all(source)
        finally:
            work.write_part()
        missing = work.missing
        if (work.damaged or any(missing.values())) and not partial:
            raise DataError(_what_lacks(work))
        if not any(work.found.values()):
            raise DataError(f"{home.name}: none of its features are in {', '.join(map(str, sources))}.")
        counts = work.finish()
    return Import(
        store,
        counts,
        work.read,
        work.size,
        time.monotonic() - started,
        work.other_length,
        work.unknown,
        missing,
    )


@dataclass(frozen=True)
class Wish:
    """What the annotations of a data set ask for.

    Attributes:
        name: Of the data set.
        header: What the feature file will say about itself.
        durations: Seconds by recording, in the order of the annotations.
        texts: Name of each query's text, in their order.
    """

    name: str
    header: Header
    durations: Mapping[str, float]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, home: Home, encoder: FeaturesPart) -> Wish:
        """Return what all placed splits of a data set ask for."""
        if not home.placed:
            files = ", ".join(str(home.annotations(split)) for split in home.facts)
            raise DataError(
                f"{home.name}: no annotations are placed, so it is not known what to import. "
                f"Place one of {files}."
            )
        queries = [query for split in home.placed for query in home.queries(split)]
        _refuse_unsafe(home, queries)
        backend = encoder.build()
        header = Header(
            f"{home.name}, {IMPORTED}",
            encoder.label,
            IMPORTED,
            backend.hop,
            backend.audio_width,
            backend.text_width,
        )
        durations = {query.vid: query.duration for query in queries}
        return cls(home.name, header, durations, tuple(dict.fromkeys(map(text_id, queries))))

    def ids(self, kind: Kind) -> Sequence[str]:
        """Return the names of the items of a kind."""
        return list(self.durations) if kind == "audio" else self.texts

    def find(self, member: Member) -> tuple[Kind, str] | None:
        """Return what a file is the features of; None if nobody asks for it."""
        inside = member.path
        if inside.suffix not in (".npz", ".npy"):
            return None
        in_text = inside.parent.name.endswith("_text")
        if not in_text and inside.stem in self._audio:
            return "audio", self._audio[inside.stem]
        return ("text", self._text[inside.stem]) if inside.stem in self._text else None

    @cached_property
    def _audio(self) -> dict[str, str]:
        # Archives of Clotho-Moment leave points out of the names of recordings.
        plain = {vid.replace(".", ""): vid for vid in self.durations}
        return {**plain, **{vid: vid for vid in self.durations}}

    @cached_property
    def _text(self) -> dict[str, str]:
        return {f"qid{name}": name for name in self.texts}


@dataclass(eq=False)
class _Work:
    """An import that is going on."""

    wish: Wish
    store: Path
    tell: Tell
    read: int = 0
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
            if header != self.wish.header:
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
            return
        width = self.wish.header.width_of(kind)
        try:
            data = member.read()
            self.read, self.size = self.read + 1, self.size + len(data)
            rows = rows_in(BytesIO(data), member.place, key=KEYS[kind], width=width)
            if kind == "audio":
                self._check_length(rows, name, member)
        except DataError as error:
            self.damaged.append(str(error))
            return
        self._part[kind][name] = rows

    def write_part(self) -> None:
        """Write what is in memory."""
        if not any(self._part.values()):
            return
        self.folder.mkdir(exist_ok=True)
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
        first = self._seen.setdefault(item, member.place)
        if first != member.place:
            raise DataError(
                f"{item[1]!r} has features in {first} and in {member.place}. Name the folders or archives of "
                "one encoder only."
            )

    def _check_length(self, rows: Rows, vid: str, member: Member) -> None:
        duration, hop = self.wish.durations[vid], self.wish.header.hop
        if not fits(len(rows), duration, hop):
            raise DataError(
                f"{member.place}: {len(rows)} rows of {hop:g} s cannot be those of {vid!r}, "
                f"which lasts {duration:g} s."
            )
        self.other_length += len(rows) != int(duration / hop)


def _items(rows: Mapping[str, Rows]) -> Items:
    return Items(tuple(rows), tuple(rows.values()))


def _refuse_unsafe(home: Home, queries: Sequence[Query]) -> None:
    for query in queries:
        try:
            safe_id(query.vid), safe_id(query.qid)
        except DataError as error:
            raise DataError(f"{home.root}: query {query.qid!r} of {home.name}: {error}") from None


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
    yield (
        f"  What was read is kept in {work.folder}. Name the missing files in another import, or accept this "
        "with --partial."
    )
