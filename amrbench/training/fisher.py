"""Empirical Fisher information of weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from amrbench.types import Batch, Target


def diagonal_fisher(criterion: nn.Module, samples: Iterable[tuple[Batch, Target]]) -> dict[str, Tensor]:
    """Return the mean squared gradient of the total of a criterion for each trained tensor, in float64.

    The losses of moment retrieval are no likelihood, so this is the empirical kind: labels are the true
    ones. The square is taken sample by sample; that of a mean gradient would be something else.

    Args:
        criterion: A module (batch, target) -> Losses; it is left in evaluation mode.
        samples: Batches of a single query.
    """
    criterion.eval()
    trained = {name: each for name, each in criterion.named_parameters() if each.requires_grad}
    sums = {name: torch.zeros_like(each, dtype=torch.float64) for name, each in trained.items()}
    count = 0
    for batch, target in samples:
        total = criterion(batch, target).total
        gradients = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
        for name, gradient in zip(trained, gradients, strict=True):
            if gradient is not None:
                sums[name] += gradient.double().square()
        count += 1
    return {name: each / max(1, count) for name, each in sums.items()}
