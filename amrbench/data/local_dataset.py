"""The folder of a data set whose files people provide: annotations, features and audio.

    <folder>/<annotations of each split>.jsonl   as published
    <folder>/features/<encoder>.h5               made by `amrbench data import` or `amrbench data extract`
    <folder>/audio/<recording>.<wav, flac, ...>  only needed to extract features

One feature file holds all splits; recordings are found by their ids, texts by the ids of the queries.
Parts of data sets import this module, so it loads neither h5py nor soundfile.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.data.audio import SUFFIXES, audio_by_stem, open_audio
from amrbench.data.feature_source import EncoderFeatures
from amrbench.errors import DataError
from amrbench.files.annotations import read_annotations, safe_id
from amrbench.required_files import Published, RequiredFile, refuse_missing
from amrbench.slots.data import Dataset, refuse_unknown_split
from amrbench.slots.features import FeaturesPart
from amrbench.types import Query, Rows

FEATURES = "features"
AUDIO = "audio"
NOT_PUBLISHED = Published("no known place")
_SAMPLE = 1 << 16
"""Bytes at either end of an audio file that its fingerprint covers."""


@dataclass(frozen=True)
class PublishedSplit:
    """What is known of a split.

    Attributes:
        file: Name of its annotation file.
        published: Where the file is published.
        queries: Number of queries in the published file; 0 if it is not known.
        recordings: Number of recordings with queries; 0 if it is not known.
        md5: Of the newest published file, in hexadecimal digits; empty if it is not known.
        answers: Whether the ground truth is public.
    """

    file: str
    published: Published = NOT_PUBLISHED
    queries: int = 0
    recordings: int = 0
    md5: str = ""
    answers: bool = True


@dataclass(frozen=True)
class DatasetFolder:
    """The folder of a data set, and what is known of its files.

    Attributes:
        name: Of the data set, as in `amrbench data`.
        root: The folder.
        splits: What is known of each split.
        features: Where features of encoders are published.
        audio: Where the recordings are published.
    """

    name: str
    root: Path
    splits: Mapping[str, PublishedSplit]
    features: Mapping[str, Published] = field(default_factory=dict)
    audio: Published = NOT_PUBLISHED

    def annotations(self, split: str) -> Path:
        """Return the annotation file of a split, or raise DataError when there is no such split."""
        refuse_unknown_split(self.name, split, self.splits)
        return self.root / self.splits[split].file

    def feature_file(self, encoder: FeaturesPart) -> Path:
        """Return the feature file of an encoder."""
        return self.root / FEATURES / f"{safe_id(encoder.label)}.h5"

    @property
    def audio_folder(self) -> Path:
        """Return the folder of the recordings."""
        return self.root / AUDIO

    @property
    def present_splits(self) -> list[str]:
        """Return the splits whose annotation files exist."""
        return [split for split in self.splits if self.annotations(split).is_file()]

    def queries(self, split: str) -> list[Query]:
        """Return the queries of a split.

        Raises:
            DataError: The annotation file is missing or wrong.
        """
        refuse_missing(f"data set {self.name!r}", [self._annotation_file(split)])
        return read_annotations(self.annotations(split))

    def required_files(self, split: str, features: FeaturesPart) -> list[RequiredFile]:
        """Return the annotations of a split, and its feature files or the audio and the encoders' files."""
        files = [self._annotation_file(split)]
        for encoder in features.encoders:
            path = self.feature_file(encoder)
            if not path.is_file() and self.audio_files:
                files.append(RequiredFile(f"audio of {self.name}", self.audio_folder, True, self.audio, ""))
                files.extend(encoder.required_files())
                continue
            remedy = (
                f"Import published files with 'amrbench data import {self.name} FILES --encoder "
                f"{encoder.use}', or put the recordings into {self.audio_folder}."
            )
            published = self.features.get(encoder.label, NOT_PUBLISHED)
            what = f"features {encoder.label} of {self.name}"
            files.append(RequiredFile(what, path, path.is_file(), published, remedy))
        return files

    def encoder_features(self, queries: Sequence[Query], encoder: FeaturesPart) -> EncoderFeatures:
        """Return the imported or extracted features of some queries.

        Raises:
            DataError: There is no feature file of the encoder, or it is damaged.
        """
        from amrbench.files.feature_file import open_feature_file

        file = open_feature_file(self.feature_file(encoder))
        fingerprint = content_hash([file.digest, [vars(query) for query in queries]])
        return EncoderFeatures.of_file(file, fingerprint, text_by="qid")

    def find_audio(self, vid: str) -> Path | None:
        """Return the file of a recording, with any suffix; None if there is none.

        Published archives leave dots out of some names. This is accepted if no two recordings have the same
        name without dots.

        Raises:
            DataError: Two files have the same name.
        """
        name = vid.replace(".", "")
        if vid in self.audio_files or self._names_without_dots[name] > 1:
            return self.audio_files.get(vid)
        return self.audio_files.get(name)

    @cached_property
    def audio_files(self) -> dict[str, Path]:
        """Return the files of all recordings by their names without suffix."""
        folder = self.audio_folder
        return audio_by_stem(folder.iterdir()) if folder.is_dir() else {}

    @cached_property
    def _names_without_dots(self) -> Counter[str]:
        vids = {query.vid for split in self.present_splits for query in self.queries(split)}
        return Counter(vid.replace(".", "") for vid in vids)

    def _annotation_file(self, split: str) -> RequiredFile:
        path = self.annotations(split)
        return RequiredFile(
            what=f"annotations of {self.name} {split}",
            path=path,
            present=path.is_file(),
            published=self.splits[split].published,
            remedy="Put the file there.",
        )


@runtime_checkable
class HasDatasetFolder(Protocol):
    """A data set part whose files people provide."""

    @property
    def dataset_folder(self) -> DatasetFolder:
        """Return the folder of its files."""


@dataclass(frozen=True, eq=False)
class LocalRecording:
    """A recording of the audio folder, and the queries about it."""

    vid: str
    rate: int
    waveform: Rows
    """(samples,)"""
    queries: tuple[Query, ...]


class LocalDataset(Dataset):
    """The recordings and queries of a folder."""

    def __init__(self, folder: DatasetFolder) -> None:
        self.folder = folder
        self._by_recording: dict[str, dict[str, list[Query]]] = {}

    @override
    def splits(self) -> Sequence[str]:
        return list(self.folder.splits)

    @override
    def size(self, split: str) -> int:
        return len(self._recordings(split))

    @override
    def recording(self, split: str, index: int) -> LocalRecording:
        vid, queries = list(self._recordings(split).items())[index]
        path = self.folder.find_audio(vid)
        if path is None:
            raise DataError(
                f"{self.folder.audio_folder}: there is no recording {vid!r} ({', '.join(SUFFIXES)}). "
                f"Put it there; it is published at {self.folder.audio}."
            )
        file = open_audio(path)
        return LocalRecording(vid, file.rate, file.read(), tuple(queries))

    @override
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for split in self.folder.present_splits:
            digest.update(split.encode() + self.folder.annotations(split).read_bytes())
        for path in self.folder.audio_files.values():
            size = path.stat().st_size
            digest.update(f"{path.name} {size}".encode())
            with path.open("rb") as file:  # Its beginning and end: reading all audio would take minutes.
                digest.update(file.read(_SAMPLE))
                file.seek(max(0, size - _SAMPLE))
                digest.update(file.read(_SAMPLE))
        return digest.hexdigest()[:24]

    def _recordings(self, split: str) -> dict[str, list[Query]]:
        if split not in self._by_recording:
            by_vid = self._by_recording[split] = defaultdict(list)
            for query in self.folder.queries(split):
                by_vid[query.vid].append(query)
        return self._by_recording[split]
