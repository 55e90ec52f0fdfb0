"""Positional queries from the widths of the training windows (report, section 3.4).

From the report: N evenly spaced locations with three queries each, as wide as the 15th, 50th and 85th
percentile of the training windows; computed again, not copied, when fine-tuning begins (in a recipe:
`fresh: [query.anchors]`); 30 queries (section 6). Our choice: they are computed again for the five-minute
clips too; the locations are the centres of N equal cells, widths are shares of the recording, percentiles
between two windows are interpolated.
"""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import override

from amrbench.functional.spans import inverse_sigmoid
from amrbench.part import problem
from amrbench.slots.blocks import AnchorsPart, BlockContext


def window_percentiles(widths: tuple[float, ...], percentiles: tuple[float, ...]) -> Tensor:
    """Return the percentiles (P,) of widths in [0, 1], in double precision.

    Without any widths, those of the uniform distribution.
    """
    quantiles = torch.tensor(percentiles, dtype=torch.float64) / 100
    if not widths:
        return quantiles
    return torch.tensor(widths, dtype=torch.float64).clamp(0, 1).quantile(quantiles)


def grid(locations: int, widths: Tensor) -> Tensor:
    """Return spans (locations * P, 2): each of the widths (P,) at the centre of each of equal cells."""
    centres = (torch.arange(locations, dtype=widths.dtype) + 0.5) / locations
    return torch.cartesian_prod(centres, widths).view(-1, 2)


class TrainedAnchors(nn.Module):
    """Trained spans with given first values."""

    def __init__(self, spans: Tensor, eps: float) -> None:
        """`spans` (Q, 2) hold the first centres and widths."""
        super().__init__()
        self.logits = nn.Parameter(inverse_sigmoid(spans, eps).float())

    def forward(self) -> Tensor:
        """Return (Q, 2)."""
        return self.logits.sigmoid()


class Percentiles(AnchorsPart):
    """Evenly spaced anchors as wide as short, usual and long windows of the training data.

    They depend on the data alone, so that they are the same in all runs on it.
    """

    use = "percentiles"
    count: int = Field(30, ge=1, description="queries; as many at each location as there are percentiles")
    percentiles: tuple[float, ...] = Field(
        (15, 50, 85), min_length=1, description="percentiles of the widths of the training windows"
    )

    @model_validator(mode="after")
    def _fills_locations(self) -> Percentiles:
        outside = [percentile for percentile in self.percentiles if not 0 <= percentile <= 100]
        if outside:
            raise problem(f"percentiles: {outside[0]:g} is not one; give numbers from 0 to 100.")
        if self.count % len(self.percentiles):
            raise problem(
                f"count is {self.count}, which is no whole number of locations with {len(self.percentiles)} "
                f"queries each; give a multiple of {len(self.percentiles)}."
            )
        return self

    @property
    def locations(self) -> int:
        """Return the number of different centres."""
        return self.count // len(self.percentiles)

    @override
    def build(self, context: BlockContext) -> nn.Module:
        widths = window_percentiles(context.build.window_widths, self.percentiles)
        return TrainedAnchors(grid(self.locations, widths), context.eps)
