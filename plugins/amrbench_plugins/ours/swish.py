"""Parameterised Swish (report, section 2.7, equation 1).

From the report: x sigmoid(beta x) with a learned beta, in place of every ReLU and PReLU of the baseline.
Our choice: beta starts at 1, and each place has one beta, as each PReLU of the baseline has its slope.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn

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
class _Swishes:
    beta: float

    def mlp(self) -> nn.Module:
        return SwishModule(self.beta)

    def feedforward(self) -> nn.Module:
        return SwishModule(self.beta)


class Swish(ActivationPart):
    """x sigmoid(beta x) everywhere, with one learned beta for each place."""

    use = "swish"
    beta: float = Field(1.0, description="where every beta starts")

    def build(self) -> Activation:
        """Return the maker of activations."""
        return _Swishes(self.beta)
