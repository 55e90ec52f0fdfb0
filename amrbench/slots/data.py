"""Data sets, training targets and augmentation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from amrbench.part import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from amrbench.required_files import RequiredFile
    from amrbench.slots.features import FeaturesPart
    from amrbench.types import Query, Rows


class Recording(Protocol):
    """One recording of a data set and the queries about it."""

    @property
    def vid(self) -> str:
        """Return the id."""

    @property
    def rate(self) -> int:
        """Return the samples a second."""

    @property
    def waveform(self) -> Rows:
        """Return (samples,) mono in [-1, 1]."""

    @property
    def queries(self) -> Sequence[Query]:
        """Return the queries about it."""


class Dataset(Protocol):
    """Recordings and queries in splits."""

    def splits(self) -> Sequence[str]:
        """Return the names of the splits."""

    def size(self, split: str) -> int:
        """Return the number of recordings of a split."""

    def recording(self, split: str, index: int) -> Recording:
        """Return one recording; the same every time, whatever was asked before."""

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the recordings and queries."""


class DatasetPart(Part):
    """Where recordings, queries and true windows come from."""

    slot = "dataset"

    @abstractmethod
    def build(self) -> Dataset:
        """Return the data set; nothing is read or made yet, so that files may still be missing."""

    def required_files(self, split: str, features: FeaturesPart) -> Sequence[RequiredFile]:  # noqa: ARG002
        """Return the files that a split needs with an encoder."""
        return features.required_files()


class Labels(Protocol):
    """The ground truth of one query, as arrays."""

    @property
    def spans(self) -> Rows:
        """Return (W, 2) centre and width as shares of the recording."""

    @property
    def relevant(self) -> NDArray[np.bool_]:
        """Return (T,) True for frames inside a window that counts for saliency."""

    @property
    def positives(self) -> NDArray[np.int64]:
        """Return (P,) frames drawn from the relevant ones."""

    @property
    def negatives(self) -> NDArray[np.int64]:
        """Return (P,) frames drawn from the others."""


class TargetsPart(Part):
    """How annotated windows become training targets."""

    slot = "targets"

    @abstractmethod
    def build(self) -> Callable[[Query, int, float, np.random.Generator], Labels]:
        """Return a function of (query, frames, hop in seconds, random generator of this visit)."""


class AugmentPart(Part):
    """A random change of a training sample, drawn anew at each visit."""

    slot = "augment"

    @abstractmethod
    def build(self) -> Callable[[Rows, Query, float, np.random.Generator], tuple[Rows, Query]]:
        """Return a function of (audio rows (T, Da), query, hop, random generator) to new rows and query."""
