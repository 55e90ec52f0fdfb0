"""PReLU, and activations of rows that stay in the cache."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

LEAST_SLOPE = 1e-3
"""From here on x is found in its PReLU; below zero its sign is lost."""


class _ParametricRelu(torch.autograd.Function):
    """ReLU with one learned slope below zero; torch's backward pass is slow on CPUs."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, slope: Tensor) -> Tensor:
        return F.prelu(x, slope)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, slope = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(gradients[0], x, 0)
        below = gradients[0] - above
        return torch.addcmul(above, below, slope), (below * x).sum().reshape(slope.shape)


class PReLU(nn.Module):
    """x where positive, else x times one learned slope."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((1,), 0.25))  # as in torch

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        return _ParametricRelu.apply(x, self.slope)  # type: ignore[no-any-return, no-untyped-call]


class BlockActivation(Protocol):
    """An activation of rows in memory that is used again and again, outside of autograd."""

    in_place: bool
    """Whether `value` may overwrite its argument, and `gradient` wants the value, dropped or not, for x."""
    learned: list[Tensor]
    """Gradients of its parameters, summed over the calls of `gradient`."""

    def value(self, x: Tensor, out: Tensor) -> Tensor:
        """Write the activation of x into `out` and return it."""

    def gradient(self, x: Tensor, of_value: Tensor, spare: Tensor) -> Tensor:
        """Return the gradient of x, given that of its value; may overwrite that, and `spare` of its shape."""


class _PReluOfBlocks:
    """Finds the sign of x, and x where it is negative, in a value."""

    in_place = True

    def __init__(self, slope: Tensor) -> None:
        self.slope = float(slope)
        self.learned = [torch.zeros_like(slope)]

    def value(self, x: Tensor, out: Tensor) -> Tensor:
        return torch.ops.aten.leaky_relu.out(x, self.slope, out=out)  # type: ignore[no-any-return]

    def gradient(self, x: Tensor, of_value: Tensor, spare: Tensor) -> Tensor:
        below = torch.clamp(x, max=0, out=spare)
        self.learned[0] += torch.dot(below.flatten(), of_value.flatten()) / self.slope
        leaky_backward = torch.ops.aten.leaky_relu_backward.grad_input
        return leaky_backward(of_value, x, self.slope, True, grad_input=of_value)  # type: ignore[no-any-return]


class _AnyOfBlocks:
    """Any activation, by autograd; its parameters are given because the module may have others by then."""

    in_place = False

    def __init__(self, activation: nn.Module, parameters: dict[str, Tensor]) -> None:
        self.activation = activation
        self.parameters = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        self.learned = [torch.zeros_like(value) for value in parameters.values()]

    def value(self, x: Tensor, out: Tensor) -> Tensor:
        with torch.no_grad():
            return out.copy_(functional_call(self.activation, self.parameters, (x,)))

    def gradient(self, x: Tensor, of_value: Tensor, spare: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            value = functional_call(self.activation, self.parameters, (x,))
        gradient, *of_parameters = torch.autograd.grad(value, [x, *self.parameters.values()], of_value)
        for total, part in zip(self.learned, of_parameters, strict=True):
            total += part
        return gradient


def of_blocks(activation: nn.Module, parameters: dict[str, Tensor]) -> BlockActivation:
    """Return an activation for blocks, with these values of its parameters."""
    if isinstance(activation, PReLU) and parameters["slope"] > LEAST_SLOPE:
        return _PReluOfBlocks(parameters["slope"])
    return _AnyOfBlocks(activation, parameters)
