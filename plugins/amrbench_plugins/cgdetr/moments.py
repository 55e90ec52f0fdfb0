"""How annotated windows become training targets.

The report does not mention any of this. Sources of the defaults: frames of the first window, at most 5
windows in a visit and 2 pairs are those of the public baseline. The team's public code takes the frames of
all windows, at most 10 windows when it fine-tunes, and 4 pairs. Taking all windows (`max_windows: null`) is
our choice: where a window is left out, a decoder query that predicts it is trained towards background.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import override

from amrbench.errors import DataError
from amrbench.functional.targets import (
    as_windows,
    clip_windows,
    draw_pairs,
    draw_windows,
    label_all_windows,
    label_first_window,
    spans_of,
)
from amrbench.slots.data import Labels, TargetsPart
from amrbench.types import Query

LABELLERS = {"first-window": label_first_window, "all-windows": label_all_windows}


@dataclass(frozen=True)
class MomentLabels:
    """True spans and frames of one query."""

    spans: NDArray[np.float32]
    relevant: NDArray[np.bool_]
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]


class MomentTargets(TargetsPart):
    """Windows as spans, and the frames that count as relevant for saliency.

    Windows are cut to the recording. A query with more windows than `max_windows` trains on a new random
    choice of them at every visit; with null it trains on all. If they outnumber the decoder queries, a
    matcher leaves some out.
    """

    use = "moments"
    saliency: Literal["first-window", "all-windows"] = Field(
        "first-window", description="windows whose frames are relevant; the baseline takes the first listed"
    )
    max_windows: int | None = Field(5, ge=1, le=1000, description="most windows in one visit; null for all")
    pairs: int = Field(2, ge=1, le=1000, description="pairs of a frame inside and a frame outside")

    @override
    def build(self) -> Callable[[Query, int, float, np.random.Generator], Labels]:
        return self._labels

    def _labels(self, query: Query, frames: int, hop: float, generator: np.random.Generator) -> MomentLabels:
        windows = clip_windows(as_windows(query.windows), query.duration)
        if not len(windows):
            raise DataError(
                f"query {query.qid!r} of recording {query.vid!r}: no window lies inside its "
                f"{query.duration:g} s, so there is nothing to learn; leave it out of the training split."
            )
        relevant = LABELLERS[self.saliency](windows, query.duration, frames)
        limit = len(windows) if self.max_windows is None else self.max_windows
        spans = spans_of(draw_windows(windows, limit, generator), frames, hop)
        pairs = draw_pairs(relevant, self.pairs, generator)
        return MomentLabels(spans, relevant, pairs.positives, pairs.negatives)
