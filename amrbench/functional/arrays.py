"""What code needs that may run for an array of models at once.

Models and losses run inside `torch.vmap`, where every tensor looks as if it were that of one model, so most
of them need not know. Optimizers see the tensors of all models, with one more axis in front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def in_array(x: Tensor) -> bool:
    """Whether a tensor stands for one of each model of an array.

    Such a tensor cannot be filled in place with other random numbers for each model.
    """
    return torch._C._functorch.is_batchedtensor(x)


def shared(draw: Callable[[], Tensor]) -> Tensor:
    """Return a tensor without gradient that is made once for all models of an array.

    Inside `torch.vmap` random functions draw other numbers for each model, even from a given generator.
    """
    return _Shared.apply(draw)  # type: ignore[no-any-return, no-untyped-call]


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return (K,), for each of K models the norm of all its numbers in some tensors (K, ...)."""
    of_each = [torch.linalg.vector_norm(tensor.reshape(len(tensor), -1), dim=1) for tensor in tensors]
    return torch.stack(of_each).square().sum(0).sqrt()


def scale_(tensors: Sequence[Tensor], factors: Tensor) -> None:
    """Multiply tensors (K, ...) in place by the factors (K,) of K models."""
    for tensor in tensors:
        tensor.mul_(factors.view(-1, *[1] * (tensor.ndim - 1)))


class _Shared(torch.autograd.Function):
    """Calls a function outside of `torch.vmap`, because none of its arguments is a tensor of an array."""

    @staticmethod
    def forward(draw: Callable[[], Tensor]) -> Tensor:
        return draw()

    @staticmethod
    def setup_context(ctx: Any, _: Any, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(_: Any, __: Any, draw: Callable[[], Tensor]) -> tuple[Tensor, None]:
        return draw(), None
