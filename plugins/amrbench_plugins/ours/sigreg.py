"""Sketched isotropic Gaussian regularisation (SIGReg): report, section 3.1.

From the report: five features are kept close to an isotropic Gaussian, by the loss of LeJEPA (Balestriero
and LeCun 2025). From LeJEPA's public code: knots, range and the factor by the number of rows; from its
smallest example: 256 slices and the weight 0.02. Our choice: the features share the weight, the real rows of
a whole batch are one sample, and at most 1024 of them count, because the loss grows with their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

from amrbench.errors import RecipeError
from amrbench.part import problem, unique
from amrbench.slots.losses import LossPart
from amrbench.types import BuildContext, Outcome

Tap = Literal["audio.refined", "memory.encoded", "memory.temporal-difference", "summary.text", "dummies"]
TAPS: tuple[Tap, ...] = (
    "audio.refined",
    "memory.encoded",
    "memory.temporal-difference",
    "summary.text",
    "dummies",
)
"""In the words of the report: "the audio features after fusing temporal differences, the standard DETR
encoder output features, the encoder outputs following temporal difference fusion, the summarized text
features, and the dummy tokens"."""


class _CharacteristicDistance(torch.autograd.Function):
    """Weighted distance of characteristic functions, see `epps_pulley`.

    The functions are means of z^j with z = exp(i step y), so that powers follow from products, here and in
    the gradient; sines and cosines of all knots would take ten times as long.
    """

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, row_weights: Tensor, step: float, normal: Tensor, weights: Tensor
    ) -> Tensor:
        z = torch.polar(torch.ones_like(y), step * y)
        power = z.clone()
        later = [_mean(power.mul_(z), row_weights) for _ in range(1, len(normal))]
        gaps = torch.stack([_mean(z, row_weights), *later]) - normal[:, None]  # (knots - 1, K)
        ctx.save_for_backward(z, row_weights, gaps, weights)
        ctx.step = step
        return weights @ gaps.abs().square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        z, row_weights, gaps, weights = ctx.saved_tensors
        slopes = ctx.step * torch.arange(1, len(weights) + 1, device=weights.device) * weights
        # Horner's scheme for the sum of slope_j conj(gap_j) z^j.
        factors = 2 * slopes[:, None] * gaps.conj() * gradient
        total = factors[-1] * z
        for factor in factors[:-1].flip(0):
            total.add_(factor).mul_(z)
        return -total.imag * row_weights[:, None], None, None, None, None


def _mean(values: Tensor, row_weights: Tensor) -> Tensor:
    real = row_weights @ torch.view_as_real(values).flatten(1)
    return torch.view_as_complex(real.view(-1, 2))


def epps_pulley(y: Tensor, real: Tensor, *, knots: int, reach: float) -> Tensor:
    """Return (K,), how far each column is from a standard normal sample (Epps and Pulley 1983).

    N times the integral over t from -reach to reach of the squared distance between the empirical and the
    normal characteristic function, weighted by exp(-t^2 / 2), by the trapezoid rule. About 1 for a normal
    sample of any size N, and growing with N for any other.

    Args:
        y: (n, K) a sample in each column.
        real: (n,) True for rows that count; the others may hold any finite number.
        knots: Number of points from 0 to `reach`.
        reach: Largest t.
    """
    step = reach / (knots - 1)
    t = torch.arange(1, knots, device=y.device) * step
    normal = torch.exp(-(t.to(y.dtype) ** 2) / 2)
    # The integrand is even and 0 at t = 0, so both halves together give twice the inner knots.
    weights = 2 * step * normal
    weights[-1] /= 2
    count = real.sum().to(y.dtype)
    row_weights = real.to(y.dtype) / count.clamp(min=1)
    distance: Tensor = _CharacteristicDistance.apply(y, row_weights, step, normal, weights)  # type: ignore[no-untyped-call]
    return count * (count > 1) * distance


def unit_columns(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Return (rows, columns) random directions, each column of length 1."""
    drawn = torch.randn(rows, columns, generator=generator, device=generator.device)
    return nn.functional.normalize(drawn, dim=0)


def draw_rows(mask: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return (most,) indices into a flattened mask (B, n): random real rows first, then padding.

    All indices in order, if there are no more than `most`. Nothing waits for the device, and on the CPU more
    padding at the end does not change the choice.
    """
    if mask.numel() <= most:
        return torch.arange(mask.numel(), device=mask.device)
    keys = torch.rand(mask.shape[1], mask.shape[0], generator=generator, device=mask.device).T
    return keys.masked_fill(~mask, 2.0).flatten().topk(most, largest=False).indices


@dataclass(frozen=True)
class Sketch:
    """Sizes of the comparison: random directions, rows, knots and their range."""

    slices: int
    rows: int
    knots: int
    reach: float


class SigregLoss(nn.Module):
    """Projects features onto random directions and compares each projection with a normal distribution.

    Directions and rows are drawn by the number of the step and of the feature alone, never from the global
    random state, so an optimizer that asks twice in a step sees one loss.
    """

    def __init__(self, weight: float, *, taps: tuple[Tap, ...], sketch: Sketch) -> None:
        super().__init__()
        self.weight, self.taps, self.sketch = weight, taps, sketch

    def forward(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return a term for each feature that the model provides, e.g. "sigreg.dummies".

        Raises:
            RecipeError: It provides none of them.
        """
        taps = [tap for tap in self.taps if tap in outcome.tensors]
        if not taps:
            raise RecipeError(
                f"loss 'sigreg': this model provides none of {', '.join(self.taps)}; "
                "add one that it provides to taps, or leave the loss out."
            )
        weight = self.weight / len(taps)
        return {f"sigreg.{tap}": weight * self._of_tap(tap, outcome) for tap in taps}

    def _of_tap(self, tap: Tap, outcome: Outcome) -> Tensor:
        features = outcome.tensors[tap]
        mask = _mask(tap, outcome)
        generator = torch.Generator(features.device)
        generator.manual_seed(outcome.step * len(TAPS) + TAPS.index(tap))
        # Half precision is too coarse for cosines of large numbers.
        with torch.autocast(features.device.type, enabled=False):
            return self.of_rows(features.float().flatten(0, -2), mask, generator)

    def of_rows(self, x: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean of `epps_pulley` over random slices of rows (B * n, D), real by a mask (B, n)."""
        sketch = self.sketch
        directions = unit_columns(x.shape[1], sketch.slices, generator)
        indices = draw_rows(mask, sketch.rows, generator)
        real = mask.flatten()[indices]
        # Padded rows may hold anything, and a NaN would spread through products with zero.
        projected = x[indices].masked_fill(~real[:, None], 0) @ directions
        return epps_pulley(projected, real, knots=sketch.knots, reach=sketch.reach).mean()


def _mask(tap: Tap, outcome: Outcome) -> Tensor:
    if tap.startswith(("audio", "memory")):
        return outcome.batch.audio_mask
    features = outcome.tensors[tap]
    rows = features.shape[1] if features.dim() == 3 else 1
    return torch.ones(features.shape[0], rows, dtype=torch.bool, device=features.device)


def _odd(knots: int) -> int:
    if knots % 2 == 0:
        raise problem(f"{knots} is even; give an odd number, as the public code of this loss demands.")
    return knots


class Sigreg(LossPart):
    """Distance of inner features from an isotropic Gaussian, along random directions (report, section 3.1).

    Features that a model does not provide are left out. Without a part in `audio_refine`, "audio.refined" is
    the projected audio.
    """

    use = "sigreg"
    requires = frozenset({"audio.refined", "memory.encoded", "summary.text"})
    weight: float = Field(0.02, ge=0, description="factor of this loss in the total, shared by its features")
    taps: Annotated[tuple[Tap, ...], AfterValidator(unique)] = Field(
        TAPS, min_length=1, description="features that are regularised"
    )
    slices: int = Field(256, ge=1, description="random directions in each step")
    rows: int = Field(1024, ge=2, description="most rows of a feature that count in a step")
    knots: Annotated[int, AfterValidator(_odd)] = Field(
        17, ge=3, description="points at which characteristic functions are compared; an odd number"
    )
    reach: float = Field(3.0, gt=0, description="largest of these points")

    @override
    def build(self, context: BuildContext) -> nn.Module:
        sketch = Sketch(self.slices, self.rows, self.knots, self.reach)
        return SigregLoss(self.weight, taps=self.taps, sketch=sketch)
