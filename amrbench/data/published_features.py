"""Features in the published layout: one .npz file for each recording and each query.

    <folder>/<encoder>/<vid>.npz            key `features`           (T, Da)
    <folder>/<encoder>_text/qid<qid>.npz    key `last_hidden_state`  (L, Dt), or (Dt,) for pooled encoders

`vid` and `qid` are the ids of recordings and queries in the annotations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.data.feature_source import EncoderFeatures, FeatureSource, RowsByName
from amrbench.data.local_dataset import DatasetFolder
from amrbench.errors import DataError, some
from amrbench.files.annotations import file_name_fault, safe_id
from amrbench.files.feature_file import FeatureHeader, Kind
from amrbench.files.npz_features import AUDIO_KEY, TEXT_KEY, read_rows
from amrbench.slots.features import FeaturesPart
from amrbench.types import FeatureWidths, Query, Rows

IMPORTED = "imported"


@dataclass(frozen=True)
class PublishedRows(RowsByName):
    """The .npz files of one kind in a folder."""

    folder: Path
    prefix: str
    """Of file names: "" for recordings, "qid" for texts."""
    key: str
    width: int

    def file(self, name: str) -> Path:
        """Return the file of a recording or text; DataError where the id cannot be the name of a file."""
        return self.folder / f"{self.prefix}{safe_id(name)}.npz"

    @override
    def rows(self, name: str) -> Rows:
        return read_rows(self.file(name), self.key, self.width)

    @override
    def verify(self, names: Iterable[str]) -> None:
        missing = [file.name for file in map(self.file, names) if not file.is_file()]
        if missing:
            raise DataError(
                f"{self.folder}: {len(missing)} feature files are missing: {some(missing)}. Give the folder "
                "that holds them, or annotations that fit."
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
    features = EncoderFeatures(
        location=str(folder),
        encoder=encoder,
        hop=hop,
        widths=widths,
        fingerprint=fingerprint,
        audio=PublishedRows(folder / safe_id(audio), "", AUDIO_KEY, widths.audio),
        text=PublishedRows(folder / safe_id(f"{text}_text"), "qid", TEXT_KEY, widths.text),
        text_by="qid",
    )
    return FeatureSource(tuple(queries), (features,))


@dataclass(frozen=True)
class ExpectedFeatures:
    """The published features that the annotations of a data set need.

    Attributes:
        dataset: Name of the data set.
        header: Of the feature file that they are imported into.
        durations: Seconds of each recording by its id, in the order of the annotations.
        qids: Ids of the queries, in the order of the annotations.
    """

    dataset: str
    header: FeatureHeader
    durations: Mapping[str, float]
    qids: tuple[str, ...]

    @classmethod
    def of(cls, folder: DatasetFolder, encoder: FeaturesPart) -> ExpectedFeatures:
        """Return the features of all splits whose annotations are in the folder.

        Raises:
            DataError: There are no annotations, or an id cannot be the name of a file.
        """
        if not folder.present_splits:
            files = ", ".join(str(folder.annotations(split)) for split in folder.splits)
            raise DataError(
                f"{folder.name}: there are no annotations, so it is not known what to import. "
                f"Put one of {files} there."
            )
        queries = [query for split in folder.present_splits for query in folder.queries(split)]
        for query in queries:
            if fault := file_name_fault(query.vid) or file_name_fault(query.qid):
                raise DataError(f"{folder.root}: query {query.qid!r} of {folder.name}: {fault}")
        backend = encoder.build()
        header = FeatureHeader(
            source=f"{folder.name}, {IMPORTED}",
            backend=encoder.label,
            fingerprint=IMPORTED,
            hop=backend.hop,
            audio_width=backend.audio_width,
            text_width=backend.text_width,
        )
        durations = {query.vid: query.duration for query in queries}
        qids = tuple(dict.fromkeys(str(query.qid) for query in queries))
        return cls(folder.name, header, durations, qids)

    def names(self, kind: Kind) -> Sequence[str]:
        """Return the names of all recordings or texts."""
        return list(self.durations) if kind == "audio" else self.qids

    def identify(self, file: PurePosixPath) -> tuple[Kind, str] | None:
        """Return the kind and the id of the features that a file holds; None if they are not needed."""
        if file.suffix not in (".npz", ".npy"):
            return None
        if not file.parent.name.endswith("_text") and file.stem in self._vids:
            return "audio", self._vids[file.stem]
        return ("text", self._qids[file.stem]) if file.stem in self._qids else None

    @cached_property
    def _vids(self) -> dict[str, str]:
        # Archives of Clotho-Moment leave dots out of the names of recordings; two may then be the same.
        count = Counter(vid.replace(".", "") for vid in self.durations)
        without_dots = {name: vid for vid in self.durations if count[name := vid.replace(".", "")] == 1}
        return {**without_dots, **{vid: vid for vid in self.durations}}

    @cached_property
    def _qids(self) -> dict[str, str]:
        return {f"qid{qid}": qid for qid in self.qids}
