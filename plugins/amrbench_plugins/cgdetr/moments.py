"""How annotated windows become training targets.

The report does not mention any of this. Sources of the defaults: frames of the first window, at most 5
windows in a visit and 2 pairs are those of the public baseline. The team's public code takes the frames of
all windows, at most 10 windows when it fine-tunes, and 4 pairs. Taking all windows (`max_windows: null`) is
our choice: where a window is left out, a decoder query that predicts it is trained towards background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field
from typing_extensions import override

from amrbench.slots.data import TargetsPart

if TYPE_CHECKING:
    from amrbench_plugins.cgdetr.moment_labels import MomentLabelling


class MomentTargets(TargetsPart):
    """Windows as spans, and the frames that count as relevant for saliency.

    Windows are cut to the recording. A query with more windows than `max_windows` trains on a new random
    choice of them at every visit, in a random order; with null it trains on all. If they outnumber the
    decoder queries, a matcher leaves some out.
    """

    use = "moments"
    version = 2  # the first window is the first drawn one
    saliency: Literal["first-window", "all-windows"] = Field(
        "first-window",
        description="windows whose frames are relevant; the baseline takes the first one drawn",
    )
    max_windows: int | None = Field(5, ge=1, le=1000, description="most windows in one visit; null for all")
    pairs: int = Field(2, ge=1, le=1000, description="pairs of a frame inside and a frame outside")
    label_unit: Literal["duration", "hop"] = Field(
        "duration",
        description="the time of a frame where frames are labelled: its share of the duration (CG-DETR), or "
        "the hop of the features (QD-DETR)",
    )

    @override
    def build(self) -> MomentLabelling:
        from amrbench_plugins.cgdetr.moment_labels import MomentLabelling

        return MomentLabelling(self.saliency, self.max_windows, self.pairs, self.label_unit)
