"""Dropout of elements and of whole branches; on CPUs with few random bits.

Random masks are in one function each, so that a faster version for one device changes one function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from amrbench.functional.arrays import in_array
from amrbench_plugins.moment_detr.masks import LEVELS, dropped_levels, zero_dropped
from amrbench_plugins.moment_detr.packing import Packing

Branch = Callable[[Tensor, Packing], Tensor]
"""Maps the rows that a packing takes, (N, ...), to as many."""


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Zero numbers of x with probability p and scale the others by 1 / (1 - p); x itself in evaluation.

    On CPUs p is rounded to a multiple of 2^-16 below 1: torch draws a random number for each element there,
    this draws one for four elements.
    """
    if not training or p == 0:
        return x
    if x.device.type != "cpu" or in_array(x):
        return F.dropout(x, p)
    return cast("Tensor", _CpuDropout.apply(x, dropped_levels(p)))  # type: ignore[no-untyped-call]


class _CpuDropout(torch.autograd.Function):
    """Dropout whose mask takes 16 random bits for each element."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int) -> Tensor:
        drawn = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)  # all 64 bits
        levels = drawn.view(torch.int16)[: x.numel()].view(x.shape)  # from -LEVELS / 2 to LEVELS / 2 - 1
        kept = torch.from_numpy(np.greater_equal(levels.numpy(), dropped - LEVELS // 2))
        ctx.scale = LEVELS / (LEVELS - dropped)
        ctx.save_for_backward(kept)
        return _where_kept(x, kept, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (kept,) = ctx.saved_tensors
        return _where_kept(gradients[0], kept, ctx.scale), None


def _where_kept(x: Tensor, kept: Tensor, scale: float) -> Tensor:
    """Return x times a scale, and zero where it is not kept."""
    if x.dtype not in (torch.float32, torch.float64):  # NumPy has no bfloat16
        return kept.to(x.dtype).mul_(scale).mul_(x)
    return zero_dropped(x.detach(), kept.numpy(), x.new_empty(x.shape)).mul_(scale)


class ResidualSum(nn.Module):
    """Adds a branch to rows; in training, a part of the branch is dropped with probability p."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    @property
    def drops(self) -> bool:
        """Return whether anything is dropped now."""
        return self.training and self.p > 0

    def forward(self, x: Tensor, branch: Tensor, groups: Tensor | None = None) -> Tensor:
        """Return x + branch.

        Args:
            x: (B, n, D).
            branch: (B, n, D) or broadcasting to it.
            groups: (B, n) group of each row, 0 or 1; the two groups of a sample are dropped independently.
        """
        raise NotImplementedError

    def packed(self, x: Tensor, branch: Branch, packing: Packing) -> Tensor:
        """Return the same for rows of x (M, ...), of which those that a packing takes pass the branch."""
        raise NotImplementedError


class StochasticDepth(ResidualSum):
    """Drops the whole branch of a sample (Huang et al. 2016); a kept branch is scaled by 1 / (1 - p)."""

    @override
    def forward(self, x: Tensor, branch: Tensor, groups: Tensor | None = None) -> Tensor:
        if not self.drops:
            return x + branch
        count = 1 if groups is None else 2
        if in_array(x):
            scale = torch.bernoulli(x.new_full((x.shape[0], count), 1 - self.p)) / (1 - self.p)
        else:
            scale = x.new_empty(x.shape[0], count).bernoulli_(1 - self.p).mul_(1 / (1 - self.p))
        scale = scale if groups is None else scale.gather(1, groups)
        return torch.addcmul(x, branch, scale[..., None])

    @override
    def packed(self, x: Tensor, branch: Branch, packing: Packing) -> Tensor:
        # A sequence that loses its branch does not pass it either.
        if not self.drops:
            return packing.add(x, branch(packing.take(x), packing))
        kept = packing.drop(self.p)
        return kept.add(x, branch(kept.take(x), kept), 1 / (1 - self.p))


class ElementDropout(ResidualSum):
    """Drops single elements of the branch (Vaswani et al. 2017, section 5.4)."""

    @override
    def forward(self, x: Tensor, branch: Tensor, groups: Tensor | None = None) -> Tensor:
        return x + dropout(branch.expand_as(x), self.p, self.training)

    @override
    def packed(self, x: Tensor, branch: Branch, packing: Packing) -> Tensor:
        return packing.add(x, dropout(branch(packing.take(x), packing), self.p, self.training))


RESIDUAL_SUMS: Mapping[str, type[ResidualSum]] = {"branches": StochasticDepth, "elements": ElementDropout}
"""By what is dropped: `BlockContext.residual_dropout`."""
