"""Steps from raw moments to the list that is scored: clipping and rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from typing_extensions import override

from amrbench.hookspecs import hookimpl
from amrbench.part import Part
from amrbench.slots.ranking import RankingPart
from amrbench.types import Query, Ranking, Rows

DECIMALS = 4


class Clip(RankingPart):
    """Clip starts and ends to the recording."""

    use = "clip"

    to: Literal["recording"] | Annotated[float, Field(gt=0, le=1e6)] = Field(
        "recording", description="last second: the annotated duration, or a number for all recordings"
    )

    @override
    def build(self) -> Ranking:
        def clip(moments: Rows, query: Query) -> Rows:
            last = query.duration if self.to == "recording" else float(self.to)
            return np.column_stack([moments[:, :2].clip(0, last), moments[:, 2:]]).astype(np.float32)

        return clip


class Round(RankingPart):
    """Round starts and ends to the grid of the annotations, halves to the even neighbour.

    As in the reference, every number is first rounded to four decimals, then seconds to whole steps. A moment
    shorter than a step may become empty. On CASTELLA, whose windows are whole seconds, this raises R1@0.7.
    """

    use = "round"

    to: float = Field(1.0, ge=1e-3, le=3600, description="step in seconds")

    @override
    def build(self) -> Ranking:
        def round_(moments: Rows, query: Query) -> Rows:
            # By way of text, as in the reference; np.round scales by a power of ten and differs at halves.
            values = [float(f"{value:.{DECIMALS}f}") for value in moments.ravel().tolist()]
            decimals = np.array(values, dtype=np.float64).reshape(moments.shape)
            rounded = np.column_stack([np.round(decimals[:, :2] / self.to) * self.to, decimals[:, 2:]])
            return rounded.astype(np.float32)

        return round_


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return both steps."""
    return [Clip, Round]
