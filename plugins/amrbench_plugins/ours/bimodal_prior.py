"""Priors with Gaussian peaks on the decoder's attention to frames (report, section 2.5).

From the report: Gaussian peaks around start and end of each query's span, in every layer, with a width that
a linear map predicts from the content; inspired by SMCA (Gao et al. 2021), which has one peak at the centre.
Our choice: the two peaks are added up as a mixture (their product would peak in the middle); sigma is at
least 0.005 of a recording and 0.1 at first; the logarithm is at least -30, so that a query far from
everything still attends to all frames. Two variants measure what the report's prior is worth: one peak at the
centre, as in SMCA, and peaks of a fixed width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FLOOR = -30.0
"""Least logarithm of a prior."""


def centre(spans: Tensor) -> Tensor:
    """Return the centres (B, Q, 1) of spans (B, Q, 2)."""
    return spans[..., :1]


def inverse_softplus(x: float) -> float:
    """Return the number whose softplus is x, also where its exponential would overflow."""
    return x + math.log(-math.expm1(-x))


def frame_centres(mask: Tensor) -> Tensor:
    """Return the centre of each frame as a fraction of the real frames, (B, T); padding goes beyond 1."""
    frames = mask.sum(-1, keepdim=True).clamp(min=1)
    return (torch.arange(mask.shape[-1], device=mask.device) + 0.5) / frames


def log_prior(peaks: Tensor, sigmas: Tensor, frames: Tensor) -> Tensor:
    """Return the logarithm (B, Q, T) of the sum of peaks of height 1.

    Args:
        peaks: (B, Q, P) centres of the peaks, e.g. starts and ends.
        sigmas: Standard deviation of each, (B, Q, P) or broadcasting to it.
        frames: (B, T) positions to evaluate the peaks at.
    """
    distance = (frames[:, None, None] - peaks[..., None]) / sigmas[..., None]  # (B, Q, P, T)
    return reduce(torch.logaddexp, (-(distance**2) / 2).unbind(2))


class PredictedSigma(nn.Module):
    """Standard deviations that a linear map predicts from the content; all alike at first."""

    def __init__(self, width: int, peaks: int, *, initial: float, smallest: float) -> None:
        super().__init__()
        self.smallest = smallest
        self.linear = nn.Linear(width, peaks)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, inverse_softplus(initial - smallest))

    def forward(self, content: Tensor) -> Tensor:
        """Map (B, Q, D) to (B, Q, P), in float32."""
        with torch.autocast(content.device.type, enabled=False):
            raw = self.linear(content.to(self.linear.weight.dtype))
        return self.smallest + F.softplus(raw.float())


class FixedSigma(nn.Module):
    """One standard deviation for all peaks."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, content: Tensor) -> Tensor:
        """Return (1, 1, 1), in float32."""
        return torch.full((1, 1, 1), self.sigma, device=content.device)


class GaussianPrior(nn.Module):
    """Favours frames around the peaks of each query's span; all heads alike."""

    def __init__(self, sigma: nn.Module, peaks: Callable[[Tensor], Tensor]) -> None:
        """`peaks` maps spans (B, Q, 2) to the centres of their peaks (B, Q, P), `sigma` the content."""
        super().__init__()
        self.sigma = sigma
        self.peaks = peaks

    def forward(self, anchors: Tensor, content: Tensor, mask: Tensor) -> Tensor:
        """Return (B, 1, Q, T) of the dtype of the content; computed in float32."""
        prior = log_prior(self.peaks(anchors.float()), self.sigma(content), frame_centres(mask))
        return prior.clamp(min=FLOOR)[:, None].to(content.dtype)
