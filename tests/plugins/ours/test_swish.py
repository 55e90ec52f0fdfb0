"""The parameterised Swish."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from amrbench_plugins.moment_detr.layers import PReLU
from amrbench_plugins.ours.swish import SwishModule
from tests.plugins.moment_detr.small import batch
from tests.plugins.ours import small

VIEW = "mismatched-text"


def test_special_values_of_beta():
    x = torch.linspace(-4, 4, 33)
    assert_close(SwishModule(1.0)(x), F.silu(x))
    assert_close(SwishModule(0.0)(x), x / 2)
    assert_close(SwishModule(50.0)(x), x.relu(), rtol=0, atol=0.006)


def test_gradients_are_right():
    module = SwishModule(0.7).double()
    x = torch.randn(6, dtype=torch.float64, requires_grad=True)

    def swish(x, beta):
        return torch.func.functional_call(module, {"beta": beta}, x)

    assert torch.autograd.gradcheck(swish, (x, module.beta))
    module(x).sum().backward()
    gate = torch.sigmoid(0.7 * x)
    assert_close(module.beta.grad, (x**2 * gate * (1 - gate)).sum()[None])


def test_half_precision_stays_half():
    assert SwishModule(1.0)(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_each_activation_has_a_beta_of_its_own():
    swishes = [
        module for module in small.model(activation="swish").modules() if isinstance(module, SwishModule)
    ]
    plain = [module for module in small.model().modules() if isinstance(module, nn.ReLU | PReLU)]
    assert len(swishes) == len({id(module.beta) for module in swishes}) == len(plain) >= 15


def test_every_activation_of_a_model_starts_as_silu():
    betas = [
        weight.item()
        for name, weight in small.model(activation="swish").named_parameters()
        if name.endswith("beta")
    ]
    assert set(betas) == {1.0}


class Kernels(TorchDispatchMode):
    """Records the names of all operations."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


def kernels(model):
    with Kernels() as kernels, torch.no_grad():
        encoded = model.encode(batch(), {VIEW})
        dict(encoded.tensors)
        model.decode(encoded)
    return {name for name in kernels.names if "relu" in name}


def test_the_model_has_no_other_activation():
    model = small.model(activation="swish")
    assert not [module for module in model.modules() if isinstance(module, nn.ReLU | PReLU)]
    assert kernels(model) == set()
    assert len(kernels(small.model())) >= 2


def test_every_beta_has_a_gradient():
    model = small.model(activation="swish")
    encoded = model.encode(batch(), {VIEW})
    tensors = [*encoded.tensors.values(), *model.decode(encoded).values()]
    sum((tensor**2).sum() for tensor in tensors if tensor.requires_grad).backward()
    gradients = [weight.grad for name, weight in model.named_parameters() if name.endswith("beta")]
    assert len(gradients) >= 15
    assert all(bool(gradient.any()) for gradient in gradients)
