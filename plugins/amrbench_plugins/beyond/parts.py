"""Components from other papers than the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from amrbench.slots.blocks import QueryPart, build_at
from amrbench.slots.data import AugmentPart
from amrbench.slots.losses import LARGEST_WEIGHT, LossPart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from amrbench.slots.blocks import BlockContext
    from amrbench.slots.data import Recordings
    from amrbench.types import BuildContext
    from amrbench_plugins.beyond.background_mixing import BackgroundMixer


class BackgroundMixing(AugmentPart):
    """Replace pieces of the background by pieces of recordings that are about something else (CVA).

    Other recordings are those whose sentences are neither too near to the query nor too far from it. See
    `background_mixing.py` for the similarity.
    """

    use = "background-mixing"
    ratio: float = Field(0.3, gt=0, le=1, description="share of the background rows that are replaced")
    piece: int = Field(5, ge=1, le=10_000, description="rows of one piece at most")
    margin: int = Field(1, ge=0, le=10_000, description="rows around each window that stay")
    low: float = Field(
        0.1, ge=0, le=1, description="share of the foreign recordings that are too far from their query"
    )
    high: float = Field(
        0.6,
        ge=0,
        le=1,
        description="share of the own recordings that are further from their query than allowed",
    )

    @override
    def build(self, recordings: Recordings) -> BackgroundMixer:
        from amrbench_plugins.beyond.background_mixing import BackgroundMixer, Donors

        donors = Donors(recordings, low=self.low, high=self.high)
        return BackgroundMixer(donors, ratio=self.ratio, piece=self.piece, margin=self.margin)


class BoundaryContrast(LossPart):
    """A frame just inside a moment is nearer to the moments' mean than the frame just outside (after CVA)."""

    use = "boundary-contrast"
    requires = frozenset({"memory"})
    weight: float = Field(0.005, ge=0, le=LARGEST_WEIGHT, description="factor of this loss in the total")
    temperature: float = Field(
        0.1, ge=1e-3, le=100, description="difference of cosines that counts as one unit of log odds"
    )

    @override
    def build(self, context: BuildContext) -> nn.Module:
        from amrbench_plugins.beyond.boundary_contrast import BoundaryContrastLoss

        return BoundaryContrastLoss(self.weight, self.temperature)


class QueryDropout(QueryPart):
    """Leave a random share of the queries out of each training step (arXiv 2603.02363).

    The decoder, the matcher and the losses see the others alone, so a moment cannot count on one query. In
    every step the same number is left out, for each recording others; in evaluation none.
    """

    use = "query-dropout"
    example: ClassVar[Mapping[str, Any]] = {"around": "zeros"}
    share: float = Field(0.25, ge=0, lt=1, description="share of the queries that are left out, rounded down")
    around: QueryPart = Field(description="makes the queries")

    @property
    @override
    def requires(self) -> frozenset[str]:  # type: ignore[override]
        return self.around.requires

    @override
    def build(self, context: BlockContext) -> nn.Module:
        from amrbench_plugins.beyond.query_dropout import DroppedQueries

        return DroppedQueries(build_at(self.around, "around", context), self.share)
