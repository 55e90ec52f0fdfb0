"""A prior with two peaks on the decoder's attention to frames (report, section 2.5), and simpler ones.

From the report: Gaussian peaks around start and end of each query's span, in every layer, with a width that
a linear map predicts from the content; inspired by SMCA (Gao et al. 2021), which has one peak at the centre.
Our choice: the two peaks are added up as a mixture (their product would peak in the middle); sigma is at
least 0.005 of a recording and 0.1 at first; the logarithm is at least -30, so that a query far from
everything still attends to all frames. Two variants measure what the report's prior is worth: one peak at the
centre, as in SMCA, and peaks of a fixed width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import override

from amrbench.functional.spans import to_windows
from amrbench.part import problem
from amrbench.slots.blocks import BlockContext, PriorPart

Merge = Callable[[Tensor, Tensor], Tensor]
MERGES: Mapping[str, Merge] = {"sum": torch.logaddexp, "max": torch.maximum}


@dataclass(frozen=True)
class Peaks:
    """Where in a span the peaks are."""

    count: int
    of: Callable[[Tensor], Tensor]
    """From spans (B, Q, 2) to the centres of the peaks (B, Q, count)."""


PEAKS: Mapping[str, Peaks] = {
    "ends": Peaks(2, to_windows),
    "centre": Peaks(1, lambda spans: spans[..., :1]),
}


def inverse_softplus(x: float) -> float:
    """Return the number whose softplus is x, also where its exponential would overflow."""
    return x + math.log(-math.expm1(-x))


def frame_centres(mask: Tensor) -> Tensor:
    """Return the centre of each frame as a share of the real frames, (B, T); padding goes beyond 1."""
    frames = mask.sum(-1, keepdim=True).clamp(min=1)
    return (torch.arange(mask.shape[-1], device=mask.device) + 0.5) / frames


def log_prior(peaks: Tensor, sigmas: Tensor, frames: Tensor, merge: Merge) -> Tensor:
    """Return the logarithm of peaks of height 1, merged.

    Args:
        peaks: (B, Q, P) centres of the peaks, e.g. starts and ends.
        sigmas: (B, Q, P) standard deviation of each.
        frames: (B, T) positions to evaluate the peaks at.
        merge: Combines the logarithms of two peaks.

    Returns:
        (B, Q, T).
    """
    distance = (frames[:, None, None] - peaks[..., None]) / sigmas[..., None]  # (B, Q, P, T)
    return reduce(merge, (-(distance**2) / 2).unbind(2))


@dataclass(frozen=True)
class SigmaBounds:
    """Standard deviations of the peaks, as shares of the recording."""

    smallest: float
    initial: float


class BimodalGaussianPrior(nn.Module):
    """Favours frames around both ends of each query's span, or its centre; all heads alike."""

    def __init__(self, width: int, sigma: SigmaBounds, *, peaks: Peaks, merge: Merge, floor: float) -> None:
        """`floor` is the least logarithm of the prior."""
        super().__init__()
        self.sigma = sigma
        self.peaks = peaks
        self.merge = merge
        self.floor = floor
        self.linear = nn.Linear(width, peaks.count)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, inverse_softplus(sigma.initial - sigma.smallest))

    def forward(self, anchors: Tensor, content: Tensor, mask: Tensor) -> Tensor:
        """Return (B, 1, Q, T) of the dtype of the content; computed in float32."""
        with torch.autocast(content.device.type, enabled=False):
            raw = self.linear(content.to(self.linear.weight.dtype))
        sigmas = self.sigma.smallest + F.softplus(raw.float())
        prior = log_prior(self.peaks.of(anchors.float()), sigmas, frame_centres(mask), self.merge)
        return prior.clamp(min=self.floor)[:, None].to(content.dtype)


class BimodalGaussian(PriorPart):
    """Gaussian peaks at both ends of each query's span, with a width that depends on its content.

    With `peaks: centre` there is one peak and nothing to merge; with `learned: false` sigma is fixed.
    """

    use = "bimodal-gaussian"
    sigma: float = Field(
        0.1, gt=0, description="standard deviation of a peak at first, as a share of the recording"
    )
    smallest_sigma: float = Field(0.005, gt=0, description="least standard deviation of a peak")
    floor: float = Field(-30.0, lt=0, description="least logarithm of the prior")
    merge: Literal["sum", "max"] = Field("sum", description="how two peaks are combined")
    peaks: Literal["ends", "centre"] = Field("ends", description="where in a span the peaks are")
    learned: bool = Field(True, description="whether the standard deviations are trained")

    @model_validator(mode="after")
    def _starts_above_the_smallest(self) -> BimodalGaussian:
        if self.sigma <= self.smallest_sigma:
            raise problem(
                f"sigma is {self.sigma:g} and smallest_sigma {self.smallest_sigma:g}; "
                "give a sigma above the smallest."
            )
        return self

    @override
    def build(self, context: BlockContext) -> nn.Module:
        prior = BimodalGaussianPrior(
            context.width,
            SigmaBounds(smallest=self.smallest_sigma, initial=self.sigma),
            peaks=PEAKS[self.peaks],
            merge=MERGES[self.merge],
            floor=self.floor,
        )
        prior.linear.requires_grad_(self.learned)
        return prior
