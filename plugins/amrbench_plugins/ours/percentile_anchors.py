"""Positional queries from the widths of the training windows (report, section 3.4).

From the report: N evenly spaced locations with three queries each, as wide as the 15th, 50th and 85th
percentile of the training windows; computed again, not copied, when fine-tuning begins (in a recipe:
`fresh: [query.anchors]`); 30 queries (section 6). Our choice: they are computed again for the five-minute
clips too; the locations are the centres of N equal cells, widths are shares of the recording, percentiles
between two windows are interpolated. In the recipes decoder and heads correct nothing before training
(`first_corrections: zero`), so that the first predictions of every layer are the anchors; the drawn weights
of the public baseline would move narrow anchors away at once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from amrbench.functional.spans import inverse_sigmoid


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
