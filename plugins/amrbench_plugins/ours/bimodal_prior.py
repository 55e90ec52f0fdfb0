"""Priors with Gaussian peaks on the decoder's attention to frames (report, section 2.5).

From the report: Gaussian peaks around start and end of each query's span, in every layer, with a variance
that a linear map predicts from the content; inspired by SMCA (Gao et al. 2021), which has one peak at the
centre, and predicts a scale for each attention head. Our choice: the two peaks are added up as a mixture
(their product would peak in the middle); the logarithm is at least -30, so that a query far from everything
still attends to all frames; and sigma begins as a quarter of the width of the span, half a frame at least,
so that the ends of a span of four frames are two peaks. A sigma relative to the recording, the same for short
and for long spans, is an option: at 0.1, which is 30 of 300 s, spans below 60 s have one peak, in the middle.
Two variants measure what the report's prior is worth: one peak at the centre, and a sigma that is not
learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amrbench_plugins.moment_detr.layers import split_heads

FLOOR = -30.0
"""Least logarithm of a prior."""
SMALLEST_SIGMA = 0.5
"""In frames: the standard deviation of the peaks of a span without any width."""


def centre(spans: Tensor) -> Tensor:
    """Return the centres (B, Q, 1) of spans (B, Q, 2)."""
    return spans[..., :1]


def width(spans: Tensor) -> Tensor:
    """Return the widths (B, Q, 1) of spans (B, Q, 2)."""
    return spans[..., 1:]


def recording(spans: Tensor) -> Tensor:
    """Return the width of the recording for each of the spans, which is 1; (B, Q, 1)."""
    return torch.ones_like(spans[..., 1:])


UNITS: Mapping[str, Callable[[Tensor], Tensor]] = {"span": width, "recording": recording}
"""What the standard deviation of a peak is relative to."""


def inverse_softplus(x: float) -> float:
    """Return the number whose softplus is x, also where its exponential would overflow."""
    return x + math.log(-math.expm1(-x))


def frame_centres(mask: Tensor) -> Tensor:
    """Return the centre of each frame as a fraction of the real frames, (B, T); padding goes beyond 1."""
    return (torch.arange(mask.shape[-1], device=mask.device) + 0.5) / frame_counts(mask)


def frame_counts(mask: Tensor) -> Tensor:
    """Return the number of real frames (B, 1) of each recording, at least 1."""
    return mask.sum(-1, keepdim=True).clamp(min=1)


def log_prior(peaks: Tensor, sigmas: Tensor, frames: Tensor) -> Tensor:
    """Return the logarithm (B, H, Q, T) of the sum of peaks of height 1.

    Args:
        peaks: (B, Q, P) centres of the peaks, e.g. starts and ends.
        sigmas: Standard deviation of each, (B, H, Q, P) or broadcasting to it.
        frames: (B, T) positions to evaluate the peaks at.
    """
    distance = (frames[:, None, None] - peaks[..., None])[:, None] / sigmas[..., None]  # (B, H, Q, P, T)
    return reduce(torch.logaddexp, (-(distance**2) / 2).unbind(3))


class LearnedFraction(nn.Module):
    """Positive numbers that a linear map predicts from the content; all alike at first."""

    def __init__(self, width: int, peaks: int, heads: int, initial: float) -> None:
        super().__init__()
        self.heads = heads
        self.linear = nn.Linear(width, heads * peaks)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, inverse_softplus(initial))

    def forward(self, content: Tensor) -> Tensor:
        """Map (B, Q, D) to (B, H, Q, P), in float32."""
        with torch.autocast(content.device.type, enabled=False):
            raw = self.linear(content.to(self.linear.weight.dtype))
        return split_heads(F.softplus(raw.float()), self.heads)


class FixedFraction(nn.Module):
    """One number for all peaks."""

    def __init__(self, fraction: float) -> None:
        super().__init__()
        self.fraction = fraction

    def forward(self, content: Tensor) -> Tensor:
        """Return (1, 1, 1, 1), in float32."""
        return torch.full((1, 1, 1, 1), self.fraction, device=content.device)


class GaussianPrior(nn.Module):
    """Favours frames around the peaks of each query's span."""

    def __init__(
        self,
        fraction: nn.Module,
        *,
        peaks: Callable[[Tensor], Tensor],
        unit: Callable[[Tensor], Tensor],
    ) -> None:
        """Take what maps the content to sigmas as fractions (B, H, Q, P) of a unit.

        Args:
            fraction: That map; H is 1 where all heads are alike.
            peaks: Maps spans (B, Q, 2) to the centres of their peaks (B, Q, P).
            unit: Maps spans to what sigmas are fractions of, (B, Q, 1).
        """
        super().__init__()
        self.fraction = fraction
        self.peaks = peaks
        self.unit = unit

    def forward(self, anchors: Tensor, content: Tensor, mask: Tensor) -> Tensor:
        """Return (B, H, Q, T) of the dtype of the content; computed in float32."""
        spans = anchors.float()
        smallest = SMALLEST_SIGMA / frame_counts(mask)[..., None, None]
        sigmas = torch.hypot(self.fraction(content) * self.unit(spans)[:, None], smallest)
        return log_prior(self.peaks(spans), sigmas, frame_centres(mask)).clamp(min=FLOOR).to(content.dtype)
