"""Data sets, training targets and augmentation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from amrbench.errors import DataError, did_you_mean
from amrbench.part import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from amrbench.required_files import RequiredFile
    from amrbench.slots.features import FeaturesPart
    from amrbench.types import Query, Rows, Target


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording of a data set and the queries about it.

    Attributes:
        vid: Its id.
        rate: Samples per second.
        waveform: (samples,) mono in [-1, 1].
        queries: About it.
    """

    vid: str
    rate: int
    waveform: Rows
    queries: Sequence[Query]


class Dataset(Protocol):
    """Recordings and queries in splits."""

    def splits(self) -> Sequence[str]:
        """Return the names of the splits."""

    def size(self, split: str) -> int:
        """Return the number of recordings of a split."""

    def recording(self, split: str, index: int) -> Recording:
        """Return one recording; it does not depend on earlier calls."""

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the recordings and queries."""


@runtime_checkable
class KnowsQueries(Protocol):
    """A data set that makes its recordings, and knows the queries about them before."""

    def queries(self, split: str, index: int) -> Sequence[Query]:
        """Return the queries about one recording, as the recording itself would."""


class DatasetPart(Part):
    """A source of recordings, queries and ground-truth windows."""

    slot = "dataset"
    builds = Dataset

    @abstractmethod
    def build(self) -> Dataset:
        """Return the data set, without reading or making files; they may be missing."""

    def required_files(self, split: str, features: FeaturesPart) -> Sequence[RequiredFile]:  # noqa: ARG002
        """Return the files that a split needs if its features come from this encoder."""
        return features.required_files()


def refuse_unknown_split(name: str, split: str, splits: Iterable[str]) -> None:
    """Raise DataError when a data set has no such split; or do nothing."""
    names = list(splits)
    if split not in names:
        raise DataError(
            f"data set {name!r} has no split {split!r}.{did_you_mean(split, names)} "
            f"Splits: {', '.join(names) or 'none'}."
        )


class Labels(Protocol):
    """The ground truth of one query, as arrays."""

    @property
    def spans(self) -> Rows:
        """Return (W, 2) centre and width as fractions of the recording."""

    @property
    def relevant(self) -> NDArray[np.bool_]:
        """Return (T,) True for frames inside a window that counts for saliency."""

    @property
    def positives(self) -> NDArray[np.int64]:
        """Return (P,) frames drawn from the relevant ones."""

    @property
    def negatives(self) -> NDArray[np.int64]:
        """Return (P,) frames drawn from the others."""


class Labelling(Protocol):
    """Labels the frames of a recording for a query. It may be a function."""

    def __call__(self, query: Query, frames: int, hop: float, rng: np.random.Generator) -> Labels:
        """Return the labels; `rng` is the random generator of this visit."""


@runtime_checkable
class BatchLabelling(Labelling, Protocol):
    """A labelling that can also make the targets of a whole batch at once, which is faster.

    Only speed may differ: the targets are those of one call for each query, padded, and the same numbers are
    drawn from each generator.
    """

    def of_batch(
        self,
        queries: Sequence[Query],
        frames: Sequence[int],
        hop: float,
        rngs: Sequence[np.random.Generator],
    ) -> Target:
        """Return the targets of B queries; T is the largest of `frames`, which has one number for each."""


class TargetsPart(Part):
    """How annotated windows become training targets."""

    slot = "targets"
    builds = Labelling

    @abstractmethod
    def build(self) -> Callable[[Query, int, float, np.random.Generator], Labels]:
        """Return a function of (query, frames, hop in seconds, random generator of this visit).

        It may be an object with a faster method for a whole batch; see `BatchLabelling`.
        """


class Recordings(Protocol):
    """What is trained on, for augmentations that look at other recordings."""

    @property
    def queries(self) -> Sequence[Query]:
        """Return all queries; windows are as published."""

    def audio_rows(self, index: int) -> Rows:
        """Return the audio rows (T, Da) of the recording of a query; nobody may write into them."""

    def word_rows(self, index: int) -> Rows:
        """Return the words (L, Dt) of a query; nobody may write into them."""


class Augmentation(Protocol):
    """Changes a training sample at random. It may be a function."""

    def __call__(self, rows: Rows, query: Query, hop: float, rng: np.random.Generator) -> tuple[Rows, Query]:
        """Return new rows and query for audio rows (T, Da) of one of the queries that are trained on.

        Augmentations before this one may have changed the rows and the windows.
        """


class AugmentPart(Part):
    """A random change of a training sample, drawn again at each visit."""

    slot = "augment"
    builds = Augmentation

    @abstractmethod
    def build(
        self, recordings: Recordings
    ) -> Callable[[Rows, Query, float, np.random.Generator], tuple[Rows, Query]]:
        """Return a function of (audio rows (T, Da), query, hop, random generator) to new rows and query.

        It is built once for a stage, with the recordings that the stage trains on.
        """
