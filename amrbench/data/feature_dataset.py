"""Queries with their features in memory, and the batches that are made of them.

Rows are cut and divided by (their norm + 1e-5) once, when they are loaded; the reference does so for every
sample. A batch is then a few copies of slices. Recordings and sentences that several queries share are stored
once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amrbench.data.collate import Indices, Labeller, make_targets, pad
from amrbench.data.concat_features import normalize_rows
from amrbench.data.feature_source import FeatureSource, matches_duration
from amrbench.errors import DataError, some
from amrbench.functional.targets import as_windows, clip_windows
from amrbench.interfaces import checked_result
from amrbench.slots.model import Limits
from amrbench.types import Batch, FeatureWidths, Query, Rows, Target

Augment = Callable[[Rows, Query, float, np.random.Generator], tuple[Rows, Query]]

_ORDER, _VISIT, _SHUFFLE = 1, 2, 3  # First numbers of the seeds, so that no two draws share a generator.
_KEPT = 4
"""Feature datasets that a cache keeps in memory."""


@dataclass(frozen=True, eq=False)
class FeatureDataset:
    """The queries of one or several splits with their features in memory."""

    queries: tuple[Query, ...]
    audio: Sequence[Tensor]
    """(T, Da) of each recording."""
    text: Sequence[Tensor]
    """(L, Dt) of each sentence."""
    recordings: Indices
    """(n,) index into `audio` of each query's recording."""
    sentences: Indices
    """(n,) index into `text` of each query's sentence."""
    cut: NDArray[np.bool_]
    """(recordings,) True where the limits cut rows off."""
    hop: float
    """Seconds between two audio rows."""

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def widths(self) -> FeatureWidths:
        """Return the widths of the features."""
        return FeatureWidths(self.audio[0].shape[1], self.text[0].shape[1])

    def frames(self, index: int) -> int:
        """Return the number of audio rows of a query's recording."""
        return len(self.audio[self.recordings[index]])

    def audio_rows(self, index: int) -> Rows:
        """Return the audio rows (T, Da) of a query's recording; they are not a copy."""
        return self._audio[int(self.recordings[index])]

    def word_rows(self, index: int) -> Rows:
        """Return the words (L, Dt) of a query; they are not a copy."""
        return self._text[int(self.sentences[index])]

    def seconds(self, index: int) -> float:
        """Return the length that spans are fractions of: the recording, or its rows within the limits."""
        if self.cut[self.recordings[index]]:
            return self.frames(index) * self.hop
        return self.queries[index].duration

    def batch(self, indices: Sequence[int] | Indices) -> Batch:
        """Return some queries, padded to the longest of them."""
        return self._batch(indices, [self.audio_rows(index) for index in indices])

    def training_batch(
        self,
        indices: Sequence[int] | Indices,
        *,
        labels: Labeller,
        augments: Sequence[Augment],
        rng_of: Callable[[int], np.random.Generator],
    ) -> tuple[Batch, Target]:
        """Return some queries with their targets.

        Args:
            indices: Of queries, all of them in `trainable`.
            labels: A built targets part.
            augments: Built augment parts, applied in this order.
            rng_of: Returns the generator of this visit of a query; see `visit_rngs`.
        """
        rngs = [rng_of(int(index)) for index in indices]
        audio = [self.audio_rows(index) for index in indices]
        queries = [self._learnable[index] for index in indices]
        for row, rng in enumerate(rngs):
            for augment in augments:
                changed = augment(audio[row], queries[row], self.hop, rng)
                audio[row], queries[row] = checked_result(augment, "__call__", changed, tuple)
        frames = [len(rows) for rows in audio]
        return self._batch(indices, audio), make_targets(labels, queries, frames, self.hop, rngs)

    @cached_property
    def trainable(self) -> Indices:
        """Return the indices of the queries that have a window inside the rows of their recording.

        Raises:
            DataError: There are none.
        """
        indices = [index for index, query in enumerate(self._learnable) if query.windows]
        if not indices:
            qids = some([query.qid for query in self.queries], 3)
            raise DataError(
                f"none of {len(self):,} queries ({qids}) has a window inside the feature rows of its "
                "recording, so there is nothing to learn. Check the windows of the training split, and "
                "'limits.frames' of the recipe."
            )
        return np.array(indices, dtype=np.int64)

    def window_widths(self) -> tuple[float, ...]:
        """Return the widths of all usable windows as fractions of their recordings."""
        return tuple(
            (end - start) / (self.frames(index) * self.hop)
            for index, query in enumerate(self._learnable)
            for start, end in query.windows
        )

    @cached_property
    def _audio(self) -> list[Rows]:
        return [rows.numpy() for rows in self.audio]

    @cached_property
    def _text(self) -> list[Rows]:
        return [rows.numpy() for rows in self.text]

    @cached_property
    def _learnable(self) -> list[Query]:
        """Return all queries with the windows and the duration that a model can learn."""
        return [self._cut_query(index) for index in range(len(self))]

    def _cut_query(self, index: int) -> Query:
        cut = bool(self.cut[self.recordings[index]])
        usable = usable_windows(self.queries[index], self.frames(index) * self.hop, cut=cut)
        windows = tuple((start, end) for start, end in usable.tolist())
        return replace(self.queries[index], windows=windows, duration=self.seconds(index))

    def _batch(self, indices: Sequence[int] | Indices, audio: Sequence[Rows]) -> Batch:
        frames, frames_mask = pad([np.asarray(rows, np.float32) for rows in audio])
        words, words_mask = pad([self.word_rows(index) for index in indices])
        recording = torch.from_numpy(self.recordings[np.asarray(indices, np.int64)])
        return Batch(frames, frames_mask, words, words_mask, recording)


class DatasetCache:
    """Loads feature datasets and keeps those used last, so that stages share them."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, ...], FeatureDataset] = {}

    def load(self, sources: Sequence[FeatureSource], limits: Limits) -> FeatureDataset:
        """Return splits as one feature dataset; see `load_dataset`."""
        key = (*(source.fingerprint for source in sources), f"{limits.frames} {limits.words}")
        dataset = self._loaded.pop(key, None)
        if dataset is None:
            dataset = load_dataset(sources, limits)
        self._loaded[key] = dataset  # Last in the order of the dict, so it is dropped last.
        if len(self._loaded) > _KEPT:
            del self._loaded[next(iter(self._loaded))]
        return dataset


def load_dataset(sources: Sequence[FeatureSource], limits: Limits) -> FeatureDataset:
    """Read splits into memory as one feature dataset.

    Raises:
        DataError: Two of them share a recording, have different encoders, or are damaged.
    """
    _refuse_mixed(sources)
    for source in sources:
        source.verify()
    audio: dict[str, Tensor] = {}
    text: dict[tuple[int, str], Tensor] = {}  # By index of the split and name of the text.
    cut = []
    for number, source in enumerate(sources):
        for vid, query in {query.vid: query for query in source.queries}.items():
            rows = _checked(source, source.audio(vid), source.widths.audio, f"recording {vid!r}")
            refuse_other_length(source, query, len(rows))
            audio[vid] = torch.from_numpy(normalize_rows(rows[: limits.frames]))
            cut.append(len(rows) > limits.frames)
        for name, query in {source.text_key(query): query for query in source.queries}.items():
            rows = _checked(source, source.text(query), source.widths.text, f"query {query.qid!r}")
            text[number, name] = torch.from_numpy(normalize_rows(rows[: limits.words]))
    queries = [(number, source, query) for number, source in enumerate(sources) for query in source.queries]
    recordings = {vid: index for index, vid in enumerate(audio)}
    sentences = {name: index for index, name in enumerate(text)}
    return FeatureDataset(
        queries=tuple(query for *_, query in queries),
        audio=list(audio.values()),
        text=list(text.values()),
        recordings=np.array([recordings[query.vid] for *_, query in queries], dtype=np.int64),
        sentences=np.array(
            [sentences[number, source.text_key(query)] for number, source, query in queries], dtype=np.int64
        ),
        cut=np.array(cut),
        hop=sources[0].hop,
    )


def refuse_shared(splits: Sequence[Sequence[Query]], locations: Sequence[str]) -> None:
    """Raise DataError if splits that are joined share a recording; ids of queries may start again in each."""
    counts = Counter(vid for queries in splits for vid in {query.vid for query in queries})
    shared = sorted(vid for vid, count in counts.items() if count > 1)
    if shared:
        where = ", ".join(dict.fromkeys(locations))
        raise DataError(
            f"recording {some(shared)} is in more than one of {where}. Join disjoint splits only."
        )


def _refuse_mixed(sources: Sequence[FeatureSource]) -> None:
    """Raise DataError where splits share a recording or have different encoders."""
    refuse_shared([source.queries for source in sources], [source.location for source in sources])
    encoders = sorted({source.encoder for source in sources})
    if len(encoders) > 1:
        raise DataError(
            f"features of different encoders cannot be joined: {some(encoders)}. Use one for all."
        )


def refuse_other_length(source: FeatureSource, query: Query, rows: int) -> None:
    """Raise DataError if so many feature rows cannot be those of the recording of a query."""
    if not matches_duration(rows, query.duration, source.hop):
        raise DataError(
            f"{source.location}: the features of recording {query.vid!r} last {rows * source.hop:g} s, but "
            f"the annotations say {query.duration:g} s. Check that annotations and features belong together."
        )


def _checked(source: FeatureSource, rows: Rows, width: int, what: str) -> Rows:
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise DataError(
            f"{source.location}: features of {what} have shape {rows.shape}, not (1 or more, {width})."
        )
    return rows


# ---------------------------------------------------------------- random draws


def epoch_order(count: int, seed: int, epoch: int) -> Indices:
    """Return the indices 0 to count - 1 in the order of an epoch."""
    return np.random.default_rng((_ORDER, seed, epoch)).permutation(count)


def visit_rngs(seed: int, epoch: int) -> Callable[[int], np.random.Generator]:
    """Return a function from the index of a query to the generator of its visit in this epoch.

    A visit draws the same numbers whatever was drawn before it: those of a generator whose seed is the tuple
    of `_VISIT`, `seed`, `epoch` and the index.
    """
    first = _words(_VISIT) + _words(seed) + _words(epoch)
    # An array of words is the same seed as the tuple of numbers, and takes numpy two thirds of the time.
    return lambda index: np.random.default_rng(np.frombuffer(first + _words(index), np.uint32))


def _words(number: int) -> bytes:
    """Return the 32-bit words that numpy splits a number of a seed into, the lowest first."""
    return number.to_bytes(4 * max(1, -(-number.bit_length() // 32)), "little")


def why_not_shuffled(queries: Sequence[Query]) -> str:
    """Return why these queries cannot be shuffled (see `with_shuffled_queries`), or an empty string."""
    vid, most = Counter(query.vid for query in queries).most_common(1)[0]
    if most == len(queries):
        return f"there is no recording but {vid!r}, and sentences are exchanged between recordings"
    if 2 * most > len(queries):
        return (
            f"{most:,} of the {len(queries):,} queries are about the recording {vid!r}, and sentences are "
            "exchanged between recordings, so none may have more than half of them"
        )
    if len({query.query for query in queries}) == 1:
        return f"all {len(queries):,} queries have the same sentence"
    return ""


def with_shuffled_queries(dataset: FeatureDataset, seed: int) -> FeatureDataset:
    """Return the dataset with each query's text replaced by that of a query about another recording.

    A model that uses the text must fail on it; one that guesses from the audio alone scores as before. Every
    text is used once. Windows, ids and recordings stay.

    Raises:
        DataError: See `why_not_shuffled`.
    """
    if reason := why_not_shuffled(dataset.queries):
        raise DataError(f"queries cannot be shuffled: {reason}")
    recordings, rng = dataset.recordings, np.random.default_rng((_SHUFFLE, seed))
    sizes = np.bincount(recordings)
    # Recordings in random order, each with its queries together: a rotation by the size of the largest group
    # moves every query out of its group.
    line = np.lexsort((rng.permutation(len(recordings)), rng.permutation(len(sizes))[recordings]))
    giver = np.empty(len(line), dtype=np.int64)
    giver[line] = np.roll(line, -int(sizes.max()))
    queries = tuple(
        replace(query, query=dataset.queries[index].query)
        for query, index in zip(dataset.queries, giver, strict=True)
    )
    return replace(dataset, queries=queries, sentences=dataset.sentences[giver])


def is_trainable(query: Query, rows: int, hop: float, limits: Limits) -> bool:
    """Whether a query has a usable window, if its recording has so many feature rows, `hop` seconds apart."""
    seconds = min(rows, limits.frames) * hop
    return len(usable_windows(query, seconds, cut=rows > limits.frames)) > 0


def usable_windows(query: Query, seconds: float, *, cut: bool) -> NDArray[np.float64]:
    """Return the windows (W, 2) in seconds that a model can learn.

    Args:
        query: The query with its windows as published.
        seconds: How long the feature rows of its recording last.
        cut: Rows were cut off; the model sees nothing past `seconds` then.
    """
    windows = clip_windows(as_windows(query.windows), query.duration)
    windows = windows[windows[:, 0] < max(seconds, query.duration)]
    return clip_windows(windows, seconds, tolerance=0.0) if cut else windows
