"""Assignment of decoder queries to true spans.

That a head of one logit counts with its probability, as the baseline's foreground class does, is our choice.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from typing_extensions import override

from amrbench.errors import RunError
from amrbench.functional.spans import giou
from amrbench.slots.matcher import Matcher
from amrbench.types import Target, Tensors

UNMATCHED = -1


class HungarianMatcher(Matcher):
    """Matches each true span to a query of its own so that the sum of the costs is least."""

    def __init__(self, *, span: float, giou: float, score: float) -> None:
        self.span, self.giou, self.score = span, giou, score

    @override
    @torch.no_grad()
    def __call__(self, tensors: Tensors, target: Target) -> Tensor:
        """Return (N, B, W) integers: the query of each true span, -1 where there is none.

        Waits for the device once. Where a sample has more spans than queries, some spans stay unmatched.

        Raises:
            RunError: A prediction is not finite.
        """
        return cast("Tensor", _Assignment.apply(self.cost(tensors, target), target.spans_mask))  # type: ignore[no-untyped-call]

    def cost(self, tensors: Tensors, target: Target) -> Tensor:
        """Return (N, B, Q, W), the cost of matching a query to a span."""
        spans, true = tensors["spans"].float()[:, :, :, None], target.spans[None, :, None]
        distance = (spans - true).abs().sum(-1)
        score = tensors["scores"].float()[..., None]
        return self.span * distance - self.giou * giou(spans, true) - self.score * score


class _Assignment(torch.autograd.Function):
    """`assign` for tensors of a device; under `torch.vmap` the samples of all models are one batch."""

    @staticmethod
    def forward(cost: Tensor, mask: Tensor) -> Tensor:
        # One transfer for costs and mask together: each transfer waits for the device.
        flat = torch.cat([cost.flatten(), mask.flatten().to(cost.dtype)]).cpu().numpy()
        costs = flat[: cost.numel()].reshape(cost.shape)
        real = flat[cost.numel() :].reshape(mask.shape) > 0
        return torch.from_numpy(assign(costs, real)).to(cost.device, non_blocking=True)

    @staticmethod
    def setup_context(ctx: Any, _: Any, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, int | None], cost: Tensor, mask: Tensor
    ) -> tuple[Tensor, int]:
        models = info.batch_size
        cost = _stacked(cost, dims[0], models).transpose(0, 1)  # (N, K, B, Q, W)
        mask = _stacked(mask, dims[1], models)  # (K, B, W)
        matched = _Assignment.forward(cost.flatten(1, 2), mask.flatten(0, 1))
        return matched.view(len(matched), models, -1, matched.shape[-1]), 1


def _stacked(x: Tensor, dim: int | None, models: int) -> Tensor:
    """Return a tensor with the axis of models in front, which `dim` is; None if all have the same."""
    return x.expand(models, *x.shape) if dim is None else x.movedim(dim, 0)


def assign(costs: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Solve all assignments of costs (N, B, Q, W) for the real spans of a mask (B, W); return (N, B, W)."""
    layers, batch, _, windows = costs.shape
    matched = np.full((layers, batch, windows), UNMATCHED, dtype=np.int64)
    counts = mask.sum(1)
    single = np.flatnonzero(counts == 1)
    window = mask[single].argmax(1)
    alone = costs[:, single, :, window]  # (samples with one span, N, Q)
    _check_finite(alone)
    matched[:, single, window] = alone.argmin(-1).T
    for sample in np.flatnonzero(counts > 1):
        real = np.flatnonzero(mask[sample])
        _check_finite(costs[:, sample][..., real])
        for layer in range(layers):
            queries, spans = linear_sum_assignment(costs[layer, sample][:, real])
            matched[layer, sample, real[spans]] = queries
    return matched


def _check_finite(costs: NDArray[np.float32]) -> None:
    if not np.isfinite(costs).all():
        raise RunError(
            "the model predicts spans or scores that are not finite numbers, so training has diverged; "
            "lower the learning rate, or the largest gradient norm ('clip')."
        )
