"""Steps from raw moments to the list that is scored: clipping and rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from typing_extensions import override

from amrbench.hookspecs import hookimpl
from amrbench.part import Part
from amrbench.slots.ranking import RankingPart
from amrbench.types import Candidates, Plain, Query, Ranking

DECIMALS = 4


class Clip(RankingPart):
    """Clip starts and ends to the recording."""

    use = "clip"

    to: Literal["recording"] | Annotated[float, Field(gt=0, le=1e6)] = Field(
        "recording", description="last second: the annotated duration, or a number for all recordings"
    )

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Ranking:
        def clip(candidates: Candidates, query: Query) -> Candidates:
            last = query.duration if self.to == "recording" else float(self.to)
            return candidates.with_windows(candidates.moments[:, :2].clip(0, last))

        return clip


class Round(RankingPart):
    """Round starts and ends to the grid of the annotations, halves to the even neighbour.

    As in the reference, every number is first rounded to four decimals, then seconds to whole steps. A moment
    shorter than a step may become empty. On CASTELLA, whose windows are whole seconds, this raises R1@0.7.
    """

    use = "round"

    to: float = Field(1.0, ge=1e-3, le=3600, description="step in seconds")

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Ranking:
        def round_(candidates: Candidates, query: Query) -> Candidates:
            moments = candidates.moments
            # By way of text, as in the reference; np.round scales by a power of ten and differs at halves.
            values = [float(f"{value:.{DECIMALS}f}") for value in moments.ravel().tolist()]
            decimals = np.array(values, dtype=np.float64).reshape(moments.shape)
            rounded = np.column_stack([np.round(decimals[:, :2] / self.to) * self.to, decimals[:, 2:]])
            return Candidates(rounded.astype(np.float32), candidates.evidence)

        return round_


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return both steps."""
    return [Clip, Round]
