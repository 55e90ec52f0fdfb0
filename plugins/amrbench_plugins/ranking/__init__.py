"""Steps from raw moments to the list that is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from amrbench import hookimpl
from amrbench.part import Part
from amrbench.slots.ranking import RankingPart
from amrbench.types import Query

Rows = NDArray[np.float32]
Step = Callable[[Rows, Query], Rows]


class Clip(RankingPart):
    """Moves starts and ends that lie outside the recording to its edges."""

    use = "clip"

    to: Literal["recording"] | Annotated[float, Field(gt=0)] = Field(
        "recording", description="last second: the annotated duration, or a number for all recordings"
    )

    def build(self) -> Step:
        """Return the step."""

        def clip(moments: Rows, query: Query) -> Rows:
            last = query.duration if self.to == "recording" else float(self.to)
            return np.column_stack([moments[:, :2].clip(0, last), moments[:, 2:]]).astype(np.float32)

        return clip


class Round(RankingPart):
    """Rounds starts and ends to the grid of the annotations, halves to the even neighbour.

    As the reference does it: first every number to some decimals, then seconds to whole steps; so a moment
    shorter than a step may become empty. On CASTELLA, whose windows are whole seconds, this raises R1@0.7.
    """

    use = "round"

    to: float = Field(1.0, gt=0, description="step in seconds")
    decimals: int = Field(4, ge=0, le=9, description="decimals of all numbers before that")

    def build(self) -> Step:
        """Return the step."""

        def round_(moments: Rows, query: Query) -> Rows:
            plain = self._decimals(moments)
            rounded = np.column_stack([np.round(plain[:, :2] / self.to) * self.to, plain[:, 2:]])
            return rounded.astype(np.float32)

        return round_

    def _decimals(self, moments: Rows) -> NDArray[np.float64]:
        # Through text, as the reference: scaling and rounding in binary differs at halves.
        values = [float(f"{value:.{self.decimals}f}") for value in moments.ravel().tolist()]
        return np.array(values, dtype=np.float64).reshape(moments.shape)


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the parts."""
    return [Clip, Round]
