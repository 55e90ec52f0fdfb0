"""Activations of the baseline."""

from __future__ import annotations

from torch import nn

from amrbench_plugins.moment_detr.layers import PReLU
from amrbench_plugins.moment_detr.slots import Activation, ActivationPart


class _ReluAndPRelu:
    def mlp(self) -> nn.Module:
        return nn.ReLU()

    def feedforward(self) -> nn.Module:
        return PReLU()


class ReluPRelu(ActivationPart):
    """ReLU in projections and small perceptrons, PReLU with one slope a layer in feed-forward parts."""

    use = "relu-prelu"

    def build(self) -> Activation:
        """Return the maker of both."""
        return _ReluAndPRelu()
