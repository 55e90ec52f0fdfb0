"""The labels of one query, or of a whole batch of them at once; see `MomentTargets`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from amrbench.errors import DataError
from amrbench.functional.targets import (
    as_windows,
    clip_batch,
    clip_windows,
    draw_batch_pairs,
    draw_batch_windows,
    draw_pairs,
    draw_windows,
    label_batch,
    label_windows,
    spans_of,
)
from amrbench.types import Query, Target


@dataclass(frozen=True)
class MomentLabels:
    """True spans and frames of one query."""

    spans: NDArray[np.float32]
    relevant: NDArray[np.bool_]
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]


@dataclass(frozen=True)
class MomentLabelling:
    """Labels one query, or a batch of them at once."""

    saliency: str
    """Whether the frames of the first window that is drawn are relevant ("first-window"), or all of them."""
    max_windows: int | None
    pairs: int
    label_unit: str = "duration"
    """What frames are labelled by: equal shares of the "duration", or the "hop" of each."""

    def __call__(self, query: Query, frames: int, hop: float, generator: np.random.Generator) -> MomentLabels:
        """Return the labels of one query; DataError if none of its windows is inside its recording."""
        windows = clip_windows(as_windows(query.windows), query.duration)
        if not len(windows):
            raise _nothing_to_learn(query)
        drawn = draw_windows(windows, self._limit(len(windows)), generator)
        salient = drawn[:1] if self.saliency == "first-window" else windows
        duration = query.duration if self.label_unit == "duration" else frames * hop
        relevant = label_windows(salient, duration, frames)
        pairs = draw_pairs(relevant, self.pairs, generator)
        return MomentLabels(spans_of(drawn, frames, hop), relevant, pairs.positives, pairs.negatives)

    def of_batch(
        self,
        queries: Sequence[Query],
        frames: Sequence[int],
        hop: float,
        rngs: Sequence[np.random.Generator],
    ) -> Target:
        """Return what one call for each query gives, padded."""
        windows, lengths = clip_batch(queries), np.array(frames)
        if not windows.counts.all():
            raise _nothing_to_learn(queries[int(windows.counts.argmin())])
        drawn = draw_batch_windows(windows, self._limit(int(windows.counts.max())), rngs)
        salient = drawn.keep(drawn.position == 0) if self.saliency == "first-window" else windows
        own = np.array([query.duration for query in queries])
        duration = own if self.label_unit == "duration" else lengths * hop
        relevant = label_batch(salient, duration, lengths)
        spans = torch.zeros(len(queries), int(drawn.counts.max()), 2)
        spans.numpy()[drawn.query, drawn.position] = spans_of(drawn.values, lengths[drawn.query], hop)
        position = np.arange(spans.shape[1])
        pairs = draw_batch_pairs(relevant, lengths, self.pairs, rngs)
        return Target(
            spans=spans,
            spans_mask=torch.from_numpy(position < drawn.counts[:, None]),
            relevant=torch.from_numpy(relevant),
            positives=torch.from_numpy(pairs.positives),
            negatives=torch.from_numpy(pairs.negatives),
        )

    def _limit(self, windows: int) -> int:
        return windows if self.max_windows is None else self.max_windows


def _nothing_to_learn(query: Query) -> DataError:
    return DataError(
        f"query {query.qid!r} of recording {query.vid!r}: no window lies inside its "
        f"{query.duration:g} s, so there is nothing to learn; leave it out of the training split."
    )
