"""Parameterised Swish (report, section 2.7, equation 1).

From the report: x sigmoid(beta x) with a learned beta, in place of every ReLU and PReLU of the baseline.
Our choice: beta starts at 1, and each activation has a beta of its own, as each PReLU of the baseline has a
slope of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.blocks import Activation


class SwishModule(nn.Module):
    """x sigmoid(beta x); between x / 2 (beta 0) and ReLU (beta large)."""

    def __init__(self, beta: float = 1.0) -> None:
        """`beta` is its first value."""
        super().__init__()
        self.beta = nn.Parameter(torch.full((1,), beta))

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        return x * torch.sigmoid(self.beta.to(x.dtype) * x)


class Swishes(Activation):
    """The same activation everywhere."""

    @override
    def mlp(self) -> nn.Module:
        return SwishModule()

    feedforward = mlp
