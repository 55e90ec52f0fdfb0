"""Parameterised Swish (report, section 2.7, equation 1).

From the report: x sigmoid(beta x) with a learned beta, in place of every ReLU and PReLU of the baseline.
Our choice: beta starts at 1, and each activation has a beta of its own, as each PReLU of the baseline has a
slope of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from amrbench.slots.blocks import Activation, ActivationPart


class SwishModule(nn.Module):
    """x sigmoid(beta x); between x / 2 (beta 0) and ReLU (beta large)."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.full((1,), beta))

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        return x * torch.sigmoid(self.beta.to(x.dtype) * x)


@dataclass(frozen=True)
class _Swishes(Activation):
    beta: float

    @override
    def mlp(self) -> nn.Module:
        return SwishModule(self.beta)

    @override
    def feedforward(self) -> nn.Module:
        return SwishModule(self.beta)


class Swish(ActivationPart):
    """x sigmoid(beta x) everywhere, with a learned beta for each activation."""

    use = "swish"
    beta: float = Field(1.0, description="first value of every beta")

    @override
    def build(self) -> Activation:
        return _Swishes(self.beta)
