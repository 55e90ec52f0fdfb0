"""PReLU, compared with that of torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from amrbench_plugins.moment_detr.activations import PReLU


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_prelu_equals_that_of_torch() -> None:
    ours, plain = PReLU(), nn.PReLU()
    x = torch.randn(5, 7)
    x[0, 0] = 0
    first, second = x.clone().requires_grad_(), x.clone().requires_grad_()
    gradient = torch.randn(5, 7)
    ours(first).backward(gradient)
    plain(second).backward(gradient)
    assert ours(x).equal(plain(x))
    assert_close(first.grad, second.grad)
    assert_close(ours.slope.grad, plain.weight.grad)


def test_prelu_gradients_equal_differences() -> None:
    layer = PReLU().double()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y, slope: _with_slope(layer, y, slope), (x, layer.slope))


def _with_slope(layer: PReLU, x: Tensor, slope: Tensor) -> Tensor:
    return torch.func.functional_call(layer, {"slope": slope}, (x,))


def test_prelu_runs_over_stacked_models() -> None:
    layer, x = PReLU(), torch.randn(3, 5)
    slopes = torch.tensor([[0.1], [0.2], [0.3]])
    rows = torch.vmap(lambda y, slope: _with_slope(layer, y, slope))(x, slopes)
    assert_close(rows, torch.where(x > 0, x, x * slopes))
