"""Sketched isotropic Gaussian regularisation (SIGReg): report, section 3.1.

From the report: five features are kept close to an isotropic Gaussian, by the loss of LeJEPA (Balestriero
and LeCun 2025). From LeJEPA's public code: knots, range and the factor by the number of rows; from its
smallest example: 256 slices and the weight 0.02. Our choice: the features share the weight, the real rows of
a whole batch are one sample, and at most 1024 of them count, because the loss grows with their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from amrbench.errors import RecipeError
from amrbench.functional.arrays import shared
from amrbench.types import Outcome

REPORTED = ("audio.refined", "memory.encoded", "memory.temporal-difference", "summary.text", "dummies")
"""In the words of the report: "the audio features after fusing temporal differences, the standard DETR
encoder output features, the encoder outputs following temporal difference fusion, the summarized text
features, and the dummy tokens"."""
OTHER_FORMS = ("memory.difference-over-time", "memory.gated-difference")
"""Of the temporal difference; they take the place of the reported one."""
SEED_OF = {tap: number for number, tap in enumerate(REPORTED)} | dict.fromkeys(OTHER_FORMS, 2)

BLOCK = 1 << 16
"""Numbers whose powers stay in the cache of a CPU."""


class _CharacteristicDistance(torch.autograd.Function):
    """Weighted distance of characteristic functions, see `epps_pulley`.

    The functions are means of z^j with z = exp(i step y), so that powers follow from products, here and in
    the gradient; sines and cosines of all knots would take ten times as long.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        y: Tensor, row_weights: Tensor, step: float, normal: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        z = torch.polar(torch.ones_like(y), step * y)
        means = torch.cat([_means(some, row_weights, len(normal)) for some in _blocks(z)], 1)
        gaps = means - normal[:, None]
        return weights @ gaps.abs().square(), z, gaps

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: tuple[Tensor, Tensor, Tensor]) -> None:
        _, row_weights, ctx.step, _, weights = inputs
        _, z, gaps = output
        ctx.mark_non_differentiable(z, gaps)
        ctx.save_for_backward(z, row_weights, gaps, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        z, row_weights, gaps, weights = ctx.saved_tensors
        slopes = ctx.step * torch.arange(1, len(weights) + 1, device=weights.device) * weights
        # The derivative by y is the imaginary part of a sum of slope_j conj(gap_j) z^j.
        factors = 2 * slopes[:, None] * gaps.conj() * gradient
        blocks = zip(_blocks(z), factors.split(_columns(z), 1), strict=True)
        imaginary = torch.cat([_imaginary_sum(*block) for block in blocks], 1)
        return -imaginary * row_weights[:, None], None, None, None, None


def _columns(z: Tensor) -> int:
    """Return how many columns of z (n, K) are computed at once."""
    if z.device.type != "cpu":
        return z.shape[1]
    # Whole vectors, so that sums over rows have the same bits.
    return 64 * max(1, BLOCK // (64 * z.shape[0]))


def _blocks(z: Tensor) -> list[Tensor]:
    """Return the columns that are computed at once, each block by itself.

    Rows of a block that lie far apart would share few lines of the cache, which takes twice as long.
    """
    return [block.contiguous() for block in torch.split(z, _columns(z), 1)]


def _means(z: Tensor, row_weights: Tensor, knots: int) -> Tensor:
    """Return the means (knots, K) of the powers of z (n, K) from 1 on."""
    power = z.clone()
    numbers = torch.view_as_real(power).view(len(z), -1)  # the same memory
    means = [row_weights @ numbers]
    for _ in range(1, knots):
        power.mul_(z)
        means.append(row_weights @ numbers)
    return torch.view_as_complex(torch.stack(means).view(knots, -1, 2))


def _imaginary_sum(z: Tensor, factors: Tensor) -> Tensor:
    """Return the imaginary part (n, K) of the sum of factor_j z^j, for factors (knots, K) from j = 1 on."""
    total = factors[-1] * z
    for factor in factors[:-1].flip(0):  # Horner's scheme
        total.add_(factor).mul_(z)
    return total.imag


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
    distance: Tensor = _CharacteristicDistance.apply(y, row_weights, step, normal, weights)[0]  # type: ignore[no-untyped-call]
    return count * (count > 1) * distance


def unit_columns(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Return (rows, columns) random directions, each column of length 1."""
    drawn = shared(lambda: torch.randn(rows, columns, generator=generator, device=generator.device))
    return nn.functional.normalize(drawn, dim=0)


def draw_rows(mask: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return (most,) indices into a flattened mask (B, n): random real rows first, then padding.

    All indices in order, if there are no more than `most`. Nothing waits for the device, and on the CPU more
    padding at the end does not change the choice.
    """
    if mask.numel() <= most:
        return torch.arange(mask.numel(), device=mask.device)
    rows, length = mask.shape
    keys = shared(lambda: torch.rand(length, rows, generator=generator, device=generator.device)).T
    return keys.masked_fill(~mask, 2.0).flatten().topk(most, largest=False).indices


class SigregLoss(nn.Module):
    """Projects features onto random directions and compares each projection with a normal distribution.

    Directions and rows are drawn by the number of the step and of the feature alone, never from the global
    random state, so an optimizer that asks twice in a step sees one loss.
    """

    def __init__(
        self, weight: float, *, taps: Sequence[str], slices: int, rows: int, knots: int, reach: float
    ) -> None:
        """`slices` directions and at most `rows` rows in each step; the others as in `epps_pulley`."""
        super().__init__()
        self.weight, self.taps, self.slices, self.rows = weight, taps, slices, rows
        self.knots, self.reach = knots, reach

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
        return {f"sigreg.{tap}": weight * self.of_tap(tap, outcome) for tap in taps}

    def of_tap(self, tap: str, outcome: Outcome) -> Tensor:
        """Return the mean of `epps_pulley` over random slices of a feature (B, n, D) or (B, D)."""
        features = outcome.tensors[tap]
        features = features if features.dim() == 3 else features[:, None]
        of_frames = tap.startswith(("audio", "memory"))
        mask = outcome.batch.audio_mask if of_frames else features.new_ones(features.shape[:2]).bool()
        generator = torch.Generator(features.device)
        generator.manual_seed(outcome.step * len(REPORTED) + SEED_OF[tap])
        # Half precision is too coarse for cosines of large numbers.
        with torch.autocast(features.device.type, enabled=False):
            directions = unit_columns(features.shape[2], self.slices, generator)
            indices = draw_rows(mask, self.rows, generator)
            real = mask.flatten()[indices]
            # Padded rows may hold anything, and a NaN would spread through products with zero.
            chosen = features.float().flatten(0, 1)[indices].masked_fill(~real[:, None], 0)
            return epps_pulley(chosen @ directions, real, knots=self.knots, reach=self.reach).mean()
