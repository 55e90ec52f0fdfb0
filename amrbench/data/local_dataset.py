"""The folder of a data set whose files people provide: annotations, features and audio.

    <folder>/<annotations of each split>.jsonl   as published
    <folder>/features/<encoder>.h5               made by `amrbench data import` or `amrbench data extract`
    <folder>/audio/<recording>.<wav, flac, ...>  only needed to extract features

One feature file holds all splits; recordings are found by their ids, texts by their sentences (imported texts
by ids and sentences), so ids of queries may start again in each split.
Parts of data sets import this module, so it loads neither h5py nor soundfile.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from shlex import quote
from typing import Protocol, runtime_checkable

from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.data.audio import open_audio, readable_suffixes
from amrbench.data.feature_source import EncoderFeatures, FeatureSource
from amrbench.data.near_files import (
    about_missing_annotations,
    about_missing_audio,
    about_missing_feature_file,
)
from amrbench.data.recording_files import RecordingFiles
from amrbench.errors import DataError, some
from amrbench.files.annotations import read_annotations, safe_id
from amrbench.files.folder_files import has_file, is_hidden, printable
from amrbench.files.jsonl import KeyRule
from amrbench.files.remembered_hashes import file_hashes
from amrbench.required_files import Published, RequiredFile, refuse_missing
from amrbench.slots.data import Dataset, Recording, refuse_unknown_split
from amrbench.slots.features import FeaturesPart
from amrbench.types import Query

FEATURES = "features"
AUDIO = "audio"
NOT_PUBLISHED = Published("no known place")


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
    def feature_files(self) -> list[Path]:
        """Return the feature files that are there and not hidden, sorted."""
        files = (self.root / FEATURES).glob("*.h5")
        return sorted(file for file in files if not is_hidden(PurePath(file.name)))

    @property
    def audio_folder(self) -> Path:
        """Return the folder of the recordings."""
        return self.root / AUDIO

    @property
    def present_splits(self) -> list[str]:
        """Return the splits whose annotation files exist."""
        return [split for split in self.splits if self.annotations(split).is_file()]

    @property
    def annotated_splits(self) -> list[str]:
        """Return the splits whose annotation files exist, or raise DataError if there are none."""
        present = self.present_splits
        if not present:
            files = ", ".join(str(self.annotations(split)) for split in self.splits)
            raise self.without_annotations(f"{self.name}: there are no annotations. Put them at {files}.")
        return present

    def queries(self, split: str, further: Sequence[KeyRule] = ()) -> list[Query]:
        """Return the queries of a split, whose lines keep to the usual rules and to further ones.

        Raises:
            DataError: The annotation file is missing or wrong.
        """
        refuse_missing(f"data set {self.name!r}", [self._annotation_file(split)])
        return read_annotations(self.annotations(split), further)

    def required_files(self, split: str, features: FeaturesPart) -> list[RequiredFile]:
        """Return the annotations of a split, and its feature files or the audio and the encoders' files."""
        files = [self._annotation_file(split)]
        for encoder in features.encoders:
            path = self.feature_file(encoder)
            near = [] if path.is_file() else about_missing_feature_file(path)
            # With a file that is named in another way, features would be made again without a word.
            if not (path.is_file() or near) and self.has_audio:
                files.append(RequiredFile(f"audio of {self.name}", self.audio_folder, True, self.audio, ""))
                files.extend(encoder.required_files())
                continue
            remedy = " ".join(near) or (
                f"Import published files with 'amrbench data import {quote(self.name)} FILES --encoder "
                f"{encoder.argument}', or put the recordings into {self.audio_folder}."
            )
            published = self.features.get(encoder.label, NOT_PUBLISHED)
            what = f"features {encoder.label} of {self.name}"
            files.append(RequiredFile(what, path, path.is_file(), published, remedy))
        return files

    def source(self, split: str, encoder: FeaturesPart) -> FeatureSource:
        """Return the queries of a split and their imported or extracted features.

        Raises:
            DataError: Annotations or the feature file are missing or wrong, the file is of another encoder,
                or the text of a query has no features.
        """
        from amrbench.files.feature_file import IMPORTED, open_feature_file

        queries, file = self.queries(split), open_feature_file(self.feature_file(encoder))
        if (backend := file.header.backend) != encoder.label and backend != encoder.build().name:
            raise DataError(
                f"{file.path}: has features of {backend!r}, but its name says {encoder.label!r}. "
                "Give it the name of its encoder, and import or extract the features that are asked for."
            )
        fingerprint = content_hash([file.digest, [vars(query) for query in queries]])
        features = EncoderFeatures.of_file(file, fingerprint)
        present = set(file.text.ids)
        missing = [query for query in queries if features.text_key(query) not in present]
        if missing:
            files = " FILES" if file.header.fingerprint == IMPORTED else ""
            verb, name = "import" if files else "extract", quote(self.name)
            command = f"{verb} {name}{files} --encoder {encoder.argument}"
            sentences = some([f"{query.qid}: {query.query}" for query in missing], 3)
            raise DataError(
                f"{file.path}: has no features of {len(missing):,} of the {len(queries):,} sentences of "
                f"{self.annotations(split)} ({sentences}). They were added or changed since it was made. Add "
                f"them with 'amrbench data {command}'."
            )
        return FeatureSource(tuple(queries), (features,))

    @cached_property
    def recordings(self) -> RecordingFiles:
        """Return the files of the audio folder by the ids of all splits that are present.

        Raises:
            DataError: An annotation file is wrong, or the folder cannot be read.
        """
        vids = [query.vid for split in self.present_splits for query in self.queries(split)]
        return RecordingFiles.with_audio(self.audio_folder, vids)

    @property
    def has_audio(self) -> bool:
        """Whether there is a file in the audio folder that can be read."""
        return has_file(self.audio_folder, readable_suffixes())

    def find_audio(self, vid: str) -> Path:
        """Return the file of a recording; see `amrbench.data.recording_files`.

        Raises:
            DataError: There is none, and the text says what is there instead; or several could be the one.
        """
        path = self.recordings.find(vid)
        if path is None:
            raise self._missing_audio([vid], 1)
        return path

    def refuse_missing_audio(self, vids: Iterable[str]) -> None:
        """Raise DataError for recordings that have no file, with what is there instead."""
        vids = list(dict.fromkeys(vids))
        if missing := self.recordings.missing(vids):
            raise self._missing_audio(missing, len(vids))

    def _missing_audio(self, missing: Sequence[str], total: int) -> DataError:
        count = (
            f"{len(missing):,} of {total:,} recordings are missing" if total > 1 else "a recording is missing"
        )
        line = f"{self.audio_folder}: {count}: {some(missing)}. Published at {self.audio}."
        return DataError("\n  ".join([line, *about_missing_audio(self.recordings, missing, self.root)]))

    def _annotation_file(self, split: str) -> RequiredFile:
        path = self.annotations(split)
        return RequiredFile(
            what=f"annotations of {self.name} {split}",
            path=path,
            present=path.is_file(),
            published=self.splits[split].published,
            remedy=" ".join(["Put the file there.", *self.near_annotations(split)]),
        )

    def without_annotations(self, text: str) -> DataError:
        """Return the error that no split has annotations, with what is there instead."""
        lines = dict.fromkeys(line for split in self.splits for line in self.near_annotations(split))
        return DataError("\n  ".join([text, *lines]))

    def near_annotations(self, split: str) -> list[str]:
        """Return sentences on what is there instead of an annotation file that is missing."""
        known = {self.annotations(other) for other in self.splits}
        path = self.annotations(split)
        return [] if path.is_file() else about_missing_annotations(path, known)


@runtime_checkable
class HasDatasetFolder(Protocol):
    """A data set part whose files people provide."""

    @property
    def dataset_folder(self) -> DatasetFolder:
        """Return the folder of its files."""


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
    def recording(self, split: str, index: int) -> Recording:
        vid, queries = list(self._recordings(split).items())[index]
        file = open_audio(self.folder.find_audio(vid))
        return Recording(vid, file.rate, file.read(), tuple(queries))

    @override
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for split in self.folder.present_splits:
            digest.update(split.encode() + self.folder.annotations(split).read_bytes())
        audio, paths = self.folder.audio_folder, self.folder.recordings.readable
        for path, content in zip(paths, file_hashes(audio, paths), strict=True):
            digest.update(f"{printable(path.relative_to(audio).as_posix())} {content}".encode())
        return digest.hexdigest()[:24]

    def _recordings(self, split: str) -> dict[str, list[Query]]:
        if split not in self._by_recording:
            by_vid = self._by_recording[split] = defaultdict(list)
            for query in self.folder.queries(split):
                by_vid[query.vid].append(query)
        return self._by_recording[split]
