"""Queries of a simulated data set: drawn from the marginals of a published one, or those of its files."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from amrbench.content_hash import content_hash, seed_from
from amrbench.files.annotations import read_annotations
from amrbench.types import Floats, Query, Window
from amrbench_plugins.simulated.marginals import LEVELS, VERSION, Frequencies, Quantiles, Shape

PREFIX = "simulated-"
"""Ids begin with it, so that no prediction is taken for one about a real recording."""
LABEL: Mapping[str, object] = {"simulated": True}
"""Further keys of each annotation."""
_VOCABULARY = 512
_COMMON = 8
"""The word of rank r is drawn in proportion to 1 / (r + this)."""
_ROOM = 0.9
"""Largest share of a recording that the windows of a query fill."""


class QuerySource(ABC):
    """Queries by recording."""

    splits: Sequence[str]

    @abstractmethod
    def size(self, split: str) -> int:
        """Return the number of recordings of a split."""

    @abstractmethod
    def queries(self, split: str, index: int) -> tuple[Query, ...]:
        """Return the queries about one recording; it does not depend on earlier calls."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of everything that determines the queries."""


@dataclass(frozen=True, eq=False)
class _Counts:
    """How long the recordings of a split are, and how many queries and windows they have.

    Attributes:
        durations: (N,) whole seconds.
        first: (N + 1,) index of the first query of each recording.
        windows: (queries,) number of windows of each query.
    """

    durations: Floats
    first: NDArray[np.int64]
    windows: NDArray[np.int64]


class DrawnQueries(QuerySource):
    """Queries with the marginals of a published data set; their sentences are numbered words.

    Lengths of recordings, queries a recording and windows a query are drawn in equal steps of probability, so
    at the true size the number of queries is exact. They are independent of each other, unlike in the
    published sets; widths depend on the number of windows.
    """

    def __init__(self, shape: Shape, seed: int, scale: float) -> None:
        self.shape, self.seed, self.scale = shape, seed, scale
        self.splits = tuple(shape.splits)
        self._counted: dict[str, _Counts] = {}

    @override
    def size(self, split: str) -> int:
        return max(1, round(self.scale * sum(self.shape.splits[split].queries)))

    @override
    def queries(self, split: str, index: int) -> tuple[Query, ...]:
        counts = self._counts(split)
        vid, seconds = f"{PREFIX}{self.shape.name}-{split}-{index:06d}", float(counts.durations[index])
        rng = self._rng(split, index)
        return tuple(
            Query(
                qid=f"{vid}_{number}",
                query=_sentence(rng, self.shape),
                vid=vid,
                duration=seconds,
                windows=_windows(rng, self.shape, int(count), seconds),
                extra=LABEL,
            )
            for number, count in enumerate(counts.windows[counts.first[index] : counts.first[index + 1]], 1)
        )

    @override
    def fingerprint(self) -> str:
        return content_hash([VERSION, asdict(self.shape), self.seed, self.scale])

    def _rng(self, *names: object) -> np.random.Generator:
        return np.random.default_rng(seed_from("simulated queries", self.seed, self.shape.name, *names))

    def _counts(self, split: str) -> _Counts:
        if split not in self._counted:
            rng, shape, size = self._rng(split), self.shape.splits[split], self.size(split)
            durations = np.round(at_levels(shape.durations, _equal_steps(rng, size)))
            first = np.cumsum([0, *_with_frequencies(shape.queries, _equal_steps(rng, size))])
            windows = _with_frequencies(self.shape.windows, _equal_steps(rng, int(first[-1])))
            self._counted[split] = _Counts(durations, first, windows)
        return self._counted[split]


class ListedQueries(QuerySource):
    """The queries of annotation files, under ids that say that they are simulated."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files
        self.splits = tuple(files)
        self._read: dict[str, list[tuple[Query, ...]]] = {}

    @override
    def size(self, split: str) -> int:
        return len(self._recordings(split))

    @override
    def queries(self, split: str, index: int) -> tuple[Query, ...]:
        return self._recordings(split)[index]

    @override
    def fingerprint(self) -> str:
        present = {split: file.read_bytes() for split, file in self.files.items() if file.is_file()}
        digests = {split: hashlib.sha256(content).hexdigest() for split, content in present.items()}
        return content_hash([VERSION, digests])

    def _recordings(self, split: str) -> list[tuple[Query, ...]]:
        if split not in self._read:
            by_vid = defaultdict(list)
            for query in read_annotations(self.files[split]):
                vid, qid = f"{PREFIX}{query.vid}", f"{PREFIX}{query.qid}"
                by_vid[vid].append(replace(query, vid=vid, qid=qid, extra={**query.extra, **LABEL}))
            self._read[split] = [tuple(queries) for queries in by_vid.values()]
        return self._read[split]


def at_levels(quantiles: Quantiles, levels: Floats) -> Floats:
    """Return the values at some levels, which are fractions in [0, 1]."""
    return np.asarray(np.interp(levels, LEVELS, quantiles))


def _with_frequencies(frequencies: Frequencies, levels: Floats) -> NDArray[np.int64]:
    """Return the counts 1, 2, ... at some levels."""
    cumulative = np.cumsum(frequencies)
    return np.asarray(1 + np.searchsorted(cumulative, levels * cumulative[-1], side="right"), np.int64)


def _equal_steps(rng: np.random.Generator, count: int) -> Floats:
    return np.asarray((rng.permutation(count) + 0.5) / count)


@lru_cache(maxsize=1)
def _word_levels() -> Floats:
    cumulative = np.cumsum(1 / (np.arange(_VOCABULARY) + _COMMON))
    return np.asarray(cumulative / cumulative[-1])


def _sentence(rng: np.random.Generator, shape: Shape) -> str:
    count = max(1, round(float(at_levels(shape.words, rng.random(1))[0])))
    ranks = np.searchsorted(_word_levels(), rng.random(count), side="right")
    return " ".join(f"w{rank:03d}" for rank in ranks)


def _windows(rng: np.random.Generator, shape: Shape, count: int, seconds: float) -> tuple[Window, ...]:
    """Return windows that do not overlap and do not touch, in order."""
    steps = int(seconds / shape.step)
    count = min(count, steps // 4)
    quantiles = next(shape.widths[least] for least in sorted(shape.widths, reverse=True) if count >= least)
    drawn = at_levels(quantiles, rng.random(count)) / shape.step
    fitting = drawn * min(1.0, _ROOM * (steps - 2 * count) / drawn.sum())
    widths = np.maximum(1, np.round(fitting)).astype(np.int64)
    free = steps - int(widths.sum()) - (count - 1)  # One step at least is left between windows.
    starts = np.sort(rng.integers(0, free + 1, count)) + np.arange(count)
    starts[1:] += np.cumsum(widths)[:-1]
    return tuple(
        (round(float(start * shape.step), 3), round(float((start + width) * shape.step), 3))
        for start, width in zip(starts, widths, strict=True)
    )
