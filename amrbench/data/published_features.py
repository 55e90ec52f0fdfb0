"""Features in the published layout: one .npz file for each recording and each query.

    <folder>/<encoder>/<vid>.npz            key `features`           (T, Da)
    <folder>/<encoder>_text/qid<qid>.npz    key `last_hidden_state`  (L, Dt), or (Dt,) for pooled encoders

`vid` and `qid` are the ids of recordings and queries in the annotations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from shlex import quote

from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.data.feature_source import (
    EncoderFeatures,
    FeatureSource,
    RowsByName,
    matches_duration,
    text_name,
)
from amrbench.data.local_dataset import DatasetFolder
from amrbench.data.near_files import about_missing_features
from amrbench.data.recording_files import IdsByName, RecordingFiles
from amrbench.errors import DataError, some
from amrbench.files.annotations import NAMES_OF_FILES, safe_id
from amrbench.files.archives import ARRAYS
from amrbench.files.feature_file import IMPORTED, FeatureHeader, Kind
from amrbench.files.folder_files import composed
from amrbench.files.npz_features import AUDIO_KEY, TEXT_KEY, read_rows
from amrbench.slots.features import FeaturesPart
from amrbench.types import FeatureWidths, Query, Rows

MOST_WORDS = 1 << 14
"""Rows of a text; no text encoder returns more."""


@dataclass(frozen=True)
class PublishedRows(RowsByName):
    """The .npz files of one kind in a folder."""

    files: RecordingFiles
    prefix: str
    """Of file names: "" for recordings, "qid" for texts."""
    key: str
    width: int
    hop: float
    durations: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each recording by its id; empty for texts."""

    def file(self, name: str) -> Path | None:
        """Return the file of a recording or text, if there is one.

        Raises:
            DataError: The id cannot be the name of a file, or several files could be the one.
        """
        return self.files.find(f"{self.prefix}{safe_id(name)}")

    @override
    def rows(self, name: str) -> Rows:
        path = self.file(name)
        if path is None:
            raise self._missing([name])
        check = partial(refuse_row_count, str(path), name, duration=self.durations.get(name), hop=self.hop)
        return read_rows(path, self.key, self.width, check=check)

    @override
    def verify(self, names: Iterable[str]) -> None:
        if missing := [name for name in names if self.file(name) is None]:
            raise self._missing(missing)

    def _missing(self, names: Sequence[str]) -> DataError:
        stems = [f"{self.prefix}{name}" for name in names]
        folder, shown = self.files.folder, some(f"{stem}.npz" for stem in stems)
        line = (
            f"{folder}: {len(stems):,} feature files are missing: {shown}. Give the folder that holds them, "
            "or annotations that fit."
        )
        return DataError("\n  ".join([line, *about_missing_features(self.files, stems)]))


def refuse_row_count(location: str, name: str, rows: int, *, duration: float | None, hop: float) -> None:
    """Raise DataError if a file has more or fewer rows than its recording, or more than any text.

    Args:
        location: Name of the file in messages.
        name: Of the recording or query.
        rows: That the file promises; they need not be read.
        duration: Seconds of the recording; None for a text.
        hop: Seconds between two audio rows.
    """
    if duration is None and rows > MOST_WORDS:
        raise DataError(
            f"{location}: {rows} rows cannot be those of the text of query {name!r}; the largest number is "
            f"{MOST_WORDS}."
        )
    if duration is not None and not matches_duration(rows, duration, hop):
        raise DataError(
            f"{location}: {rows} rows of {hop:g} s cannot be those of {name!r}, which lasts {duration:g} s. "
            "Check that annotations and features belong together."
        )


def published_source(
    folder: Path, queries: Sequence[Query], *, audio: str, text: str, widths: FeatureWidths, hop: float
) -> FeatureSource:
    """Return queries and the published features of their recordings and texts.

    Args:
        folder: Of the features of all encoders.
        queries: Of a split.
        audio: Name of the audio encoder.
        text: Name of the text encoder.
        widths: Of the rows.
        hop: Seconds between two audio rows; the files do not say.

    Raises:
        DataError: A name cannot be that of a folder.
    """
    encoder = f"published {audio} {text}"
    # Without the content of the files: no stage is trained on them, so no key depends on it.
    fingerprint = content_hash([str(folder), encoder, hop, [vars(query) for query in queries]])
    vids = tuple(dict.fromkeys(query.vid for query in queries))
    audio_files = RecordingFiles(folder / safe_id(audio), vids, ARRAYS[:1])
    text_files = RecordingFiles(folder / safe_id(f"{text}_text"), (), ARRAYS[:1])
    features = EncoderFeatures(
        location=str(folder),
        encoder=encoder,
        hop=hop,
        widths=widths,
        fingerprint=fingerprint,
        audio=PublishedRows(
            audio_files, "", AUDIO_KEY, widths.audio, hop, {query.vid: query.duration for query in queries}
        ),
        text=PublishedRows(text_files, "qid", TEXT_KEY, widths.text, hop),
        text_by="qid",
    )
    return FeatureSource(tuple(queries), (features,))


@dataclass(frozen=True)
class ExpectedFeatures:
    """The published features that the annotations of a data set, or of one of its splits, need.

    Attributes:
        dataset: Name of the data set.
        header: Of the feature file that they are imported into.
        durations: Seconds of each recording by its id, in the order of the annotations.
        texts: Name of each text in the feature file by the id of its query, in the order of the annotations.
        order: Names of the recordings and texts of all splits that are present, as the feature file has them.
        shared: Ids of recordings that are in several splits.
    """

    dataset: str
    header: FeatureHeader
    durations: Mapping[str, float]
    texts: Mapping[str, str]
    order: Mapping[Kind, Sequence[str]] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()

    @classmethod
    def of(cls, folder: DatasetFolder, encoder: FeaturesPart, split: str = "") -> ExpectedFeatures:
        """Return the features of a split, or of all splits whose annotations are in the folder.

        Raises:
            DataError: There are no annotations, an id cannot be the name of a file, or queries of several
                splits have the same id and other sentences.
        """
        if not folder.present_splits:
            files = ", ".join(str(folder.annotations(split)) for split in folder.splits)
            raise folder.without_annotations(
                f"{folder.name}: there are no annotations, so it is not known what to import. "
                f"Put one of {files} there."
            )
        splits = dict.fromkeys([split] * bool(split) + folder.present_splits)
        by_split = {name: folder.queries(name, NAMES_OF_FILES) for name in splits}
        chosen = {split: by_split[split]} if split else by_split
        _refuse_ambiguous_ids(folder, encoder, chosen)
        queries = [query for own in chosen.values() for query in own]
        every = [query for name in folder.present_splits for query in by_split[name]]
        backend = encoder.build()
        header = FeatureHeader(
            source=f"{folder.name}, {IMPORTED}",
            backend=encoder.label,
            fingerprint=IMPORTED,
            hop=backend.hop,
            audio_width=backend.audio_width,
            text_width=backend.text_width,
        )
        vids = Counter(vid for own in by_split.values() for vid in {query.vid for query in own})
        return cls(
            dataset=folder.name,
            header=header,
            durations={query.vid: query.duration for query in queries},
            texts={str(query.qid): text_name(query, header.text_by) for query in queries},
            order={
                "audio": tuple(dict.fromkeys(query.vid for query in every)),
                "text": tuple(dict.fromkeys(text_name(query, header.text_by) for query in every)),
            },
            shared=frozenset(vid for vid, count in vids.items() if count > 1),
        )

    def ids(self, kind: Kind) -> Sequence[str]:
        """Return the ids of all recordings or queries."""
        return list(self.durations if kind == "audio" else self.texts)

    def name(self, kind: Kind, identifier: str) -> str:
        """Return the name of a recording or text in the feature file."""
        return identifier if kind == "audio" else self.texts[identifier]

    def identify(self, file: PurePosixPath) -> tuple[Kind, str] | None:
        """Return the kind and the id of the features that a file holds; None if they are not needed."""
        if file.suffix.lower() not in ARRAYS:
            return None
        if not file.parent.name.endswith("_text") and (vid := self._vids.id_of(file)):
            return "audio", vid
        qid = self._qids.get(composed(file.stem))
        return None if qid is None else ("text", qid)

    @cached_property
    def _vids(self) -> IdsByName:
        return IdsByName(self.durations)

    @cached_property
    def _qids(self) -> dict[str, str]:
        return {composed(f"qid{qid}"): qid for qid in self.texts}


def _refuse_ambiguous_ids(
    folder: DatasetFolder, encoder: FeaturesPart, by_split: Mapping[str, Sequence[Query]]
) -> None:
    """Raise DataError where queries of several splits have the same id and other sentences."""
    first: dict[str, tuple[str, str]] = {}
    clashes = []
    for split, queries in by_split.items():
        for query in queries:
            other, sentence = first.setdefault(str(query.qid), (split, query.query))
            if sentence != query.query:
                clashes.append((query, sentence, split, other))
    if clashes:
        query, sentence, split, other = clashes[0]
        name = quote(folder.name)
        command = f"amrbench data import {name} FILES --encoder {encoder.argument} --split {other}"
        raise DataError(
            f"{folder.annotations(split)}: {len(clashes):,} ids of queries have other sentences in another "
            f"split, so qid<id>.npz does not say whose text it is: {str(query.qid)!r} is {query.query!r} "
            f"here and {sentence!r} in {folder.annotations(other)}. Import the files of each split by "
            f"themselves: '{command}'."
        )
