"""Head, losses and read-out of a segment posterior.

The idea is that of arXiv 2609.16495 for audio moment retrieval: a semi-Markov conditional random field on the
frames that know the sentence, trained by likelihood and by expected overlap, and read out by the exact
probability of each segment. As there, no length of a segment is preferred.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field, model_validator
from typing_extensions import override

from amrbench.part import problem
from amrbench.slots.blocks import BlockContext, HeadPart
from amrbench.slots.losses import LARGEST_WEIGHT, LossPart
from amrbench.slots.readout import Readout, ReadoutPart

if TYPE_CHECKING:
    from torch import nn

    from amrbench.types import BuildContext, Plain


class Segments(HeadPart):
    """Potentials of each frame: background, start, inside and end of a segment.

    It sees each frame with its neighbours. `segment-nll` and `segment-iou` train it, `segment-posterior`
    reads it.
    """

    use = "segments"

    hidden: int = Field(64, ge=1, le=4096, description="width of the hidden layer")
    reach: int = Field(1, ge=0, le=100, description="neighbouring frames on each side that it sees")

    @property
    @override
    def provides(self) -> Mapping[str, str]:
        return {"segments": "B T 4"}

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.segments.head import SegmentsHead

        return SegmentsHead(context.width, self.hidden, self.reach, context.activation.mlp())


class SegmentNll(LossPart):
    """Negative log likelihood of the relevant frames under the distribution over segments.

    Correct is every segmentation whose segments together are exactly the relevant frames, so targets must
    mark all windows as relevant. A run of relevant frames may be several segments that touch: each cut has
    the weight `subdivisions`, from wrong (0) to as correct as none (1).
    """

    use = "segment-nll"
    requires = frozenset({"segments"})

    weight: float = Field(0.1, ge=0, le=LARGEST_WEIGHT, description="factor of this loss in the total")
    subdivisions: float = Field(1.0, ge=0, le=1, description="weight of each cut within relevant frames")

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.segments.losses import SegmentNllLoss

        return SegmentNllLoss(self.weight, self.subdivisions)


class SegmentIou(LossPart):
    """One minus the expected overlap of segments and true windows: a soft F1 measure.

    It is 1 - 2 I / (N + W): I is the expected sum over segments of the IoU with the window that each fits
    best, N the expected number of segments, W the number of true windows. Expectations are exact.
    """

    use = "segment-iou"
    requires = frozenset({"segments"})

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.segments.losses import SegmentIouLoss

        return SegmentIouLoss(self.weight)


class SegmentPosterior(ReadoutPart):
    """The list of segments that is expected to cover the described ones best.

    The probability of a segment is exact: a sum over all segmentations that have it. A list covers a segment
    as well as the best in the list overlaps it: an intersection over union of `low` or less counts nothing,
    one of `high` or more counts in full. Segments are picked one by one, each with what it adds as its score,
    so that neighbours of a picked segment come late. Ranking by the probability alone, as in the paper,
    divides the score of a moment among segments that differ by a frame.
    """

    use = "segment-posterior"
    requires = frozenset({"segments"})

    count: int = Field(10, ge=1, le=300, description="moments that are proposed for a query")
    candidates: int = Field(
        200, ge=1, le=2000, description="most probable segments that are compared with each other"
    )
    low: float = Field(0.3, ge=0, lt=1, description="largest overlap that counts nothing")
    high: float = Field(0.9, gt=0, le=1, description="smallest overlap that counts in full; above `low`")
    longest: float = Field(1.0, gt=0, le=1, description="longest proposal as a share of the recording")

    @model_validator(mode="after")
    def _low_is_below_high(self) -> SegmentPosterior:
        if self.low >= self.high:
            raise problem(f"low is {self.low:g}, which must be below high, {self.high:g}.")
        return self

    @override
    def build(self, fitted: Mapping[str, Plain]) -> Readout:
        from amrbench_plugins.segments.readout import SegmentPosteriorReadout

        return SegmentPosteriorReadout(
            count=self.count,
            candidates=self.candidates,
            low=self.low,
            high=self.high,
            longest=self.longest,
        )
