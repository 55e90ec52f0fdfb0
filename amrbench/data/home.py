"""The folder of a data set that people place: annotations, features and audio.

    <folder>/<annotations of each split>.jsonl   as published
    <folder>/features/<encoder>.h5               made by `amrbench data import` or `amrbench data extract`
    <folder>/audio/<recording>.<wav, flac, ...>  only needed to extract features

Features lie there for all splits together; recordings are found by their ids, texts by those of the queries.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from amrbench.annotations import Query, read_annotations, safe_id
from amrbench.data.audio import SUFFIXES, Waveform, by_stem, open_audio
from amrbench.data.needs import Need, Published, refuse_missing
from amrbench.errors import DataError, did_you_mean
from amrbench.files.store import FeatureStore, Rows, open_store
from amrbench.types import Widths

if TYPE_CHECKING:
    from amrbench.slots import FeaturesPart

FEATURES = "features"
AUDIO = "audio"
NOT_PUBLISHED = Published("no public place that we know of")
_SAMPLE = 1 << 16


@dataclass(frozen=True)
class SplitFacts:
    """What is known of a split.

    Attributes:
        file: Name of its annotation file.
        published: Where the file can be had from.
        queries: How many the published file has; 0 if it is not known.
        recordings: The same of recordings that somebody asks about.
        md5: Of the newest published file, as hexadecimal digits; empty if it is not known.
        answers: Whether the true windows are public.
    """

    file: str
    published: Published = NOT_PUBLISHED
    queries: int = 0
    recordings: int = 0
    md5: str = ""
    answers: bool = True


@dataclass(frozen=True)
class Home:
    """Where a data set lies, and what is known of it.

    Attributes:
        name: Of the data set, as in `amrbench data`.
        root: Its folder.
        facts: What is known of each split.
        features: Where features of encoders are published.
        audio: Where the recordings can be had from.
    """

    name: str
    root: Path
    facts: Mapping[str, SplitFacts]
    features: Mapping[str, Published] = field(default_factory=dict)
    audio: Published = NOT_PUBLISHED

    def annotations(self, split: str) -> Path:
        """Return the annotation file of a split, or raise DataError when there is no such split."""
        if split not in self.facts:
            raise DataError(
                f"data set {self.name!r} has no split {split!r}.{did_you_mean(split, self.facts)} "
                f"Splits: {', '.join(self.facts)}."
            )
        return self.root / self.facts[split].file

    def store(self, member: FeaturesPart) -> Path:
        """Return the feature file of an encoder."""
        return self.root / FEATURES / f"{safe_id(member.label)}.h5"

    @property
    def audio_folder(self) -> Path:
        """Return the folder of the recordings."""
        return self.root / AUDIO

    @property
    def placed(self) -> list[str]:
        """Return the splits whose annotations lie there."""
        return [split for split in self.facts if self.annotations(split).is_file()]

    def queries(self, split: str) -> list[Query]:
        """Return the queries of a split.

        Raises:
            DataError: The annotation file is missing or wrong.
        """
        refuse_missing(f"data set {self.name!r}", [self._annotations_need(split)])
        return read_annotations(self.annotations(split))

    def needs(self, split: str, features: FeaturesPart) -> list[Need]:
        """Return what a split needs with an encoder: annotations, and features or audio with the encoder."""
        stores = [need for member in features.members for need in self._features_needs(member)]
        return [self._annotations_need(split), *stores]

    def source(self, split: str, member: FeaturesPart) -> Imported | None:
        """Return queries and features of a split, or None if there are no features of this encoder."""
        path = self.store(member)
        if not path.is_file():
            return None
        return Imported(tuple(self.queries(split)), open_store(path))

    def find_audio(self, vid: str) -> Path | None:
        """Return the file of a recording, with any suffix; None if there is none.

        Dots may be lacking in its name, as in published archives, where no other recording can be meant.

        Raises:
            DataError: Two files have one name.
        """
        plain = _without_dots(vid)
        if vid in self._audio_files or self._plain_names[plain] > 1:
            return self._audio_files.get(vid)
        return self._audio_files.get(plain)

    @cached_property
    def _plain_names(self) -> Counter[str]:
        vids = {query.vid for split in self.placed for query in self.queries(split)}
        return Counter(_without_dots(vid) for vid in vids)

    @cached_property
    def _audio_files(self) -> dict[str, Path]:
        folder = self.audio_folder
        return by_stem(folder.iterdir()) if folder.is_dir() else {}

    def _annotations_need(self, split: str) -> Need:
        path = self.annotations(split)
        return Need(
            what=f"annotations of {self.name} {split}",
            place=path,
            found=path.is_file(),
            published=self.facts[split].published,
            remedy="Put the file there.",
        )

    def _features_needs(self, member: FeaturesPart) -> Iterator[Need]:
        path = self.store(member)
        found = path.is_file()
        heard = not found and bool(self._audio_files)
        if heard:
            yield Need(f"audio of {self.name}", self.audio_folder, True, self.audio, "")
            yield from member.needs()
        else:
            yield Need(
                what=f"features {member.label} of {self.name}",
                place=path,
                found=found,
                published=self.features.get(member.label, NOT_PUBLISHED),
                remedy=f"Import published files with 'amrbench data import {self.name} FILES --encoder "
                f"{member.use}', or put the recordings into {self.audio_folder}.",
            )


@dataclass(frozen=True, eq=False)
class Imported:
    """The queries of a split, and the features of their recordings and texts; a `Source` of a split."""

    queries: tuple[Query, ...]
    features: FeatureStore

    @property
    def place(self) -> str:
        """Return where the features lie, for messages."""
        return str(self.features.path)

    @property
    def encoder(self) -> str:
        """Return what made the features; only features of one encoder may be mixed."""
        return f"{self.features.header.backend} {self.features.header.fingerprint}"

    @property
    def hop(self) -> float:
        """Return the seconds between two audio rows."""
        return self.features.header.hop

    @property
    def widths(self) -> Widths:
        """Return the widths of the rows."""
        return Widths(self.features.header.audio_width, self.features.header.text_width)

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of queries and features."""
        return hashlib.sha256(repr((self.features.digest, self.queries)).encode()).hexdigest()[:24]

    def check(self) -> None:
        """Compare the rows of these queries with their checksums; DataError if bytes have changed."""
        self.features.audio.verify(dict.fromkeys(query.vid for query in self.queries))
        self.features.text.verify([text_id(query) for query in self.queries])

    def audio(self, vid: str) -> Rows:
        """Return (T, Da) of a recording."""
        return self.features.audio.rows(vid)

    def text_key(self, query: Query) -> str:
        """Return the id of the query; each has rows of its own."""
        return text_id(query)

    def text(self, query: Query) -> Rows:
        """Return (L, Dt) of a query."""
        return self.features.text.rows(text_id(query))


def _without_dots(vid: str) -> str:
    return vid.replace(".", "")


def text_id(query: Query) -> str:
    """Return the name under which a feature file of a placed data set has the text of a query."""
    return str(query.qid)


@dataclass(frozen=True, eq=False)
class PlacedRecording:
    """A recording in the audio folder, and the queries about it."""

    vid: str
    rate: int
    waveform: Waveform
    queries: tuple[Query, ...]


class PlacedDataset:
    """The recordings and queries in a home; a `Dataset`."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._by_recording: dict[str, dict[str, list[Query]]] = {}

    def splits(self) -> Sequence[str]:
        """Return the names of the splits."""
        return list(self.home.facts)

    def size(self, split: str) -> int:
        """Return the number of recordings that somebody asks about."""
        return len(self._recordings(split))

    def recording(self, split: str, index: int) -> PlacedRecording:
        """Return one recording, decoded.

        Raises:
            DataError: Its file is missing or damaged.
        """
        vid, queries = list(self._recordings(split).items())[index]
        path = self.home.find_audio(vid)
        if path is None:
            raise DataError(
                f"{self.home.audio_folder}: there is no recording {vid!r} ({', '.join(SUFFIXES)}). "
                f"Put it there; it is published at {self.home.audio}."
            )
        file = open_audio(path)
        return PlacedRecording(vid, file.rate, file.read(), tuple(queries))

    def fingerprint(self) -> str:
        """Return a hash of the annotations, and of name, size, beginning and end of each audio file."""
        digest = hashlib.sha256()
        for split in self.home.placed:
            digest.update(split.encode() + self.home.annotations(split).read_bytes())
        for path in self.home._audio_files.values():
            digest.update(f"{path.name} {path.stat().st_size}".encode() + _ends(path))
        return digest.hexdigest()[:24]

    def _recordings(self, split: str) -> dict[str, list[Query]]:
        if split not in self._by_recording:
            found: dict[str, list[Query]] = {}
            for query in self.home.queries(split):
                found.setdefault(query.vid, []).append(query)
            self._by_recording[split] = found
        return self._by_recording[split]


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        begin = file.read(_SAMPLE)
        file.seek(max(0, path.stat().st_size - _SAMPLE))
        return begin + file.read(_SAMPLE)
