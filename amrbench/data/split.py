"""Splits: queries with their features in memory, and the batches that are made of them.

Rows are cut and divided by (their norm + 1e-5) once, as the reference does for every sample; after that a
batch is a few copies of slices. Recordings and sentences are held once, however many queries share them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amrbench.annotations import Query
from amrbench.config.recipe import Limits
from amrbench.data.lengths import fits
from amrbench.data.padding import Ragged, joined, normalised, padded, ragged, target_of
from amrbench.errors import DataError, some
from amrbench.slots import Labels
from amrbench.sources import Source
from amrbench.targets import as_windows, clip_windows
from amrbench.types import Batch, Target, Widths

Rows = NDArray[np.float32]
Indices = NDArray[np.int64]
LabelsOf = Callable[[Query, int, float, np.random.Generator], Labels]
Augment = Callable[[Rows, Query, float, np.random.Generator], tuple[Rows, Query]]

_ORDER, _VISIT, _SHUFFLE = 1, 2, 3


@dataclass(frozen=True, eq=False)
class Split:
    """The queries of one or several splits of a data set, ready to be asked for batches."""

    queries: tuple[Query, ...]
    audio: Ragged
    text: Ragged
    recordings: Indices
    """(n,) the item of `audio` that each query asks about."""
    sentences: Indices
    """(n,) the item of `text` that each query is."""
    cut: NDArray[np.bool_]
    """(recordings,) True where the limits cut rows off."""
    hop: float
    fingerprint: str

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def widths(self) -> Widths:
        """Return the widths of the features."""
        return Widths(self.audio.flat.shape[1], self.text.flat.shape[1])

    def frames(self, index: int) -> int:
        """Return the number of audio rows of a query's recording."""
        return self.audio.length(int(self.recordings[index]))

    def seconds(self, index: int) -> float:
        """Return what the shares of a span are shares of: the recording, or what is heard of a longer one."""
        heard = self.frames(index) * self.hop
        return heard if self.cut[self.recordings[index]] else self.queries[index].duration

    def batch(self, indices: Sequence[int] | Indices) -> Batch:
        """Return some queries, padded to the longest of them."""
        audio = [self.audio.item(int(self.recordings[index])) for index in indices]
        return self._batch(indices, audio)

    def training_batch(
        self,
        indices: Sequence[int] | Indices,
        *,
        labels: LabelsOf,
        augments: Sequence[Augment],
        rng_of: Callable[[int], np.random.Generator],
    ) -> tuple[Batch, Target]:
        """Return some queries with their targets.

        Args:
            indices: Places in `queries`, all of them in `trainable`.
            labels: A built targets part.
            augments: Built augment parts, applied in this order.
            rng_of: Returns the generator of this visit of a query; see `visits`.
        """
        rows, found = [], []
        for index in indices:
            rng = rng_of(int(index))
            audio, query = self.audio.item(int(self.recordings[index])).numpy(), self._usable(int(index))
            for augment in augments:
                audio, query = augment(audio, query, self.hop, rng)
            rows.append(torch.from_numpy(np.ascontiguousarray(audio, np.float32)))
            found.append(labels(query, len(audio), self.hop, rng))
        batch = self._batch(indices, rows)
        return batch, target_of(found, batch.audio.shape[1])

    @cached_property
    def trainable(self) -> Indices:
        """Return the places of the queries that have a window inside what is heard of their recording.

        Raises:
            DataError: There are none.
        """
        places = [place for place, found in enumerate(self._windows) if len(found)]
        if not places:
            names = some([query.qid for query in self.queries], 3)
            raise DataError(
                f"none of {len(self):,} queries ({names}) has a window in what is heard of its recording, so "
                "there is nothing to learn. Check the windows of the training split, and 'limits.frames' of "
                "the recipe."
            )
        return np.array(places, dtype=np.int64)

    @property
    def untrainable(self) -> int:
        """Return the number of queries that training leaves out."""
        return len(self) - len(self.trainable)

    def window_widths(self) -> tuple[float, ...]:
        """Return the widths of all usable windows as shares of their recordings."""
        seconds = [self.frames(place) * self.hop for place in range(len(self))]
        return tuple(
            float(end - start) / length
            for length, found in zip(seconds, self._windows, strict=True)
            for start, end in found
        )

    @cached_property
    def _windows(self) -> list[NDArray[np.float64]]:
        return [
            usable_windows(query, self.frames(place) * self.hop, cut=bool(self.cut[self.recordings[place]]))
            for place, query in enumerate(self.queries)
        ]

    def _usable(self, index: int) -> Query:
        windows = tuple((float(start), float(end)) for start, end in self._windows[index])
        return replace(self.queries[index], windows=windows, duration=self.seconds(index))

    def _batch(self, indices: Sequence[int] | Indices, audio: Sequence[Tensor]) -> Batch:
        heard = padded(audio)
        said = padded([self.text.item(int(self.sentences[index])) for index in indices])
        recording = torch.from_numpy(self.recordings[np.asarray(indices, np.int64)])
        return Batch(heard.rows, heard.mask, said.rows, said.mask, recording)


# ---------------------------------------------------------------- making splits


def load_split(sources: Sequence[Source], limits: Limits) -> Split:
    """Read splits into memory as one.

    Raises:
        DataError: Two of them share a query or recording, have different encoders, or are damaged.
    """
    _refuse_shared(sources)
    encoders = sorted({source.encoder for source in sources})
    if len(encoders) > 1:
        raise DataError(
            f"features of different encoders cannot be joined: {some(encoders)}. Use one for all."
        )
    for source in sources:
        source.check()
    parts = [_loaded(source, limits) for source in sources]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _refuse_shared(sources: Sequence[Source]) -> None:
    for what, names in (
        ("query id", [{str(query.qid) for query in source.queries} for source in sources]),
        ("recording", [{query.vid for query in source.queries} for source in sources]),
    ):
        twice = sorted(
            name for name, count in Counter(each for one in names for each in one).items() if count > 1
        )
        if twice:
            places = ", ".join(source.place for source in sources)
            raise DataError(
                f"{what} {some(twice)} stands in more than one of {places}. Join disjoint splits only."
            )


def _loaded(source: Source, limits: Limits) -> Split:
    queries = tuple(source.queries)
    vids = {query.vid: query for query in queries}
    texts = {source.text_key(query): query for query in queries}
    audio = [_rows(source.audio(vid), source.widths.audio, f"recording {vid!r}", source) for vid in vids]
    text = [
        _rows(source.text(each), source.widths.text, f"query {each.qid!r}", source) for each in texts.values()
    ]
    for (vid, query), rows in zip(vids.items(), audio, strict=True):
        _refuse_other_length(len(rows), query.duration, vid, source)
    places, keys = _numbers(vids), _numbers(texts)
    return Split(
        queries=queries,
        audio=_ragged(audio, limits.frames, source.widths.audio),
        text=_ragged(text, limits.words, source.widths.text),
        recordings=np.array([places[query.vid] for query in queries], dtype=np.int64),
        sentences=np.array([keys[source.text_key(query)] for query in queries], dtype=np.int64),
        cut=np.array([len(rows) > limits.frames for rows in audio]),
        hop=source.hop,
        fingerprint=_hash(source.fingerprint, limits.frames, limits.words),
    )


def _ragged(items: Sequence[Rows], limit: int, width: int) -> Ragged:
    lengths = [min(limit, len(rows)) for rows in items]
    return ragged((normalised(rows[:limit]) for rows in items), lengths, width)


def _numbers(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _rows(rows: Rows, width: int, what: str, source: Source) -> Rows:
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise DataError(
            f"{source.place}: features of {what} have shape {rows.shape}, not (1 or more, {width})."
        )
    return rows


def _refuse_other_length(rows: int, duration: float, vid: str, source: Source) -> None:
    if not fits(rows, duration, source.hop):
        raise DataError(
            f"{source.place}: the features of recording {vid!r} last {rows * source.hop:g} s, but the "
            f"annotations say {duration:g} s. Check that annotations and features belong together."
        )


def _joined(parts: Sequence[Split]) -> Split:
    first = parts[0]
    return replace(
        first,
        queries=tuple(query for part in parts for query in part.queries),
        audio=joined([part.audio for part in parts]),
        text=joined([part.text for part in parts]),
        recordings=_shifted([part.recordings for part in parts], [len(part.audio) for part in parts]),
        sentences=_shifted([part.sentences for part in parts], [len(part.text) for part in parts]),
        cut=np.concatenate([part.cut for part in parts]),
        fingerprint=_hash(*(part.fingerprint for part in parts)),
    )


def _shifted(numbers: Sequence[Indices], counts: Sequence[int]) -> Indices:
    starts = np.cumsum([0, *counts[:-1]])
    return np.concatenate([each + start for each, start in zip(numbers, starts, strict=True)]).astype(
        np.int64
    )


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


# ---------------------------------------------------------------- chance


def epoch_order(count: int, seed: int, epoch: int) -> Indices:
    """Return the numbers from 0 to count - 1 in the order of an epoch."""
    return np.random.default_rng((_ORDER, seed, epoch)).permutation(count)


def visits(seed: int, epoch: int) -> Callable[[int], np.random.Generator]:
    """Return a function of the place of a query to the generator of its visit in this epoch.

    What is drawn depends on nothing else, so a training that goes on after a break draws the same.
    """
    return lambda index: np.random.default_rng((_VISIT, seed, epoch, index))


def with_shuffled_queries(split: Split, seed: int) -> Split:
    """Return the split with each query's text swapped for that of a query about another recording.

    A model that listens to the text must fail here; one that guesses from the audio alone does as before.
    Every text is used once. Windows, ids and recordings stay.

    Raises:
        DataError: One recording has more than half of the queries.
    """
    giver = _other_recording(split.recordings, np.random.default_rng((_SHUFFLE, seed)))
    queries = tuple(
        replace(query, query=split.queries[place].query)
        for query, place in zip(split.queries, giver, strict=True)
    )
    fingerprint = _hash(split.fingerprint, "shuffled queries", seed)
    return replace(split, queries=queries, sentences=split.sentences[giver], fingerprint=fingerprint)


def _other_recording(recordings: Indices, rng: np.random.Generator) -> Indices:
    """Return a permutation that takes each place to one of another recording.

    Recordings are lined up in random order, each with its queries side by side; a turn by the size of the
    largest group leaves none of them inside its group.
    """
    sizes = np.bincount(recordings)
    if 2 * sizes.max() > len(recordings):
        raise DataError(
            f"queries cannot be shuffled: one recording has {sizes.max()} of {len(recordings)} queries. "
            "Shuffle a split in which no recording has more than half of them."
        )
    line = np.lexsort((rng.permutation(len(recordings)), rng.permutation(len(sizes))[recordings]))
    giver = np.empty(len(line), dtype=np.int64)
    giver[line] = np.roll(line, -int(sizes.max()))
    return giver


def usable_windows(query: Query, seconds: float, *, cut: bool) -> NDArray[np.float64]:
    """Return the windows (W, 2) in seconds that a model can be asked for.

    Args:
        query: The query with its windows as published.
        seconds: How long the feature rows of its recording last.
        cut: Rows were cut off; nothing past `seconds` can be heard then.
    """
    windows = clip_windows(as_windows(query.windows), query.duration)
    windows = windows[windows[:, 0] < max(seconds, query.duration)]
    return clip_windows(windows, seconds, tolerance=0.0) if cut else windows
