"""Feed-forward in blocks, compared with a plain implementation that has the same masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from amrbench_plugins.moment_detr import blocked_feedforward
from amrbench_plugins.moment_detr.activations import PReLU
from amrbench_plugins.moment_detr.masks import LEVELS
from amrbench_plugins.ours.swish import SwishModule
from tests.plugins.moment_detr.random_numbers import numbers, rows

WIDTH, HIDDEN = 8, 12
P = 0.3


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class Shifted(nn.Module):
    """An activation with several parameters that is not zero at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.shift, self.scale = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor([1.5]))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * torch.tanh(x + self.shift)


def with_slope(slope: float) -> PReLU:
    layer = PReLU()
    nn.init.constant_(layer.slope, slope)
    return layer


ACTIVATIONS = {
    "relu": nn.ReLU,
    "prelu": PReLU,
    "prelu with a negative slope": lambda: with_slope(-0.2),
    "prelu with no slope": lambda: with_slope(0.0),
    "swish": SwishModule,
    "gelu": nn.GELU,
    "other": Shifted,
}
activations = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)


class Layers(nn.Module):
    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.up, self.down, self.activation = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH), activation()
        self.double()

    def forward(self, x: Tensor, p: float = P, seed: int = 3) -> Tensor:
        torch.manual_seed(seed)
        return blocked_feedforward.blocked_feedforward(x, self.up, self.activation, self.down, p)

    def plain(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)) * mask)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked_feedforward, "BLOCK", 3 * HIDDEN)


@activations
@pytest.mark.parametrize("p", [0.0, P])
def test_feedforward_equals_the_plain_one(
    small_blocks: None, activation: Callable[[], nn.Module], p: float
) -> None:
    layers, x = Layers(activation), rows(2, 4, WIDTH)
    dropped = round(p * LEVELS) / LEVELS
    drawn = numbers(3, [3 * HIDDEN, 3 * HIDDEN, 2 * HIDDEN])
    mask = torch.from_numpy((np.concatenate(drawn) >= dropped) / (1 - dropped)).view(2, 4, HIDDEN)
    ours, plain = layers(x, p), layers.plain(x, mask)
    assert_close(ours, plain)
    with torch.no_grad():
        assert_close(layers(x, p), plain)
    gradient, wanted = torch.randn_like(plain), [x, *layers.parameters()]
    assert_close(torch.autograd.grad(ours, wanted, gradient), torch.autograd.grad(plain, wanted, gradient))


@activations
def test_gradients_of_feedforward_equal_differences(
    small_blocks: None, activation: Callable[[], nn.Module]
) -> None:
    layers, x = Layers(activation), rows(7, WIDTH)
    names = [name for name, _ in layers.named_parameters()]

    def change(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(layers, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(change, (x, *layers.parameters()))


def test_feedforward_of_no_rows_is_empty() -> None:
    layers, x = Layers(PReLU), rows(0, WIDTH)
    out = layers(x)
    assert out.shape == (0, WIDTH)
    out.sum().backward()
    assert not layers.up.weight.grad.any()
