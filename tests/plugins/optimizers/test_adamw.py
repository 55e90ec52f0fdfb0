"""AdamW equals the algorithm of the paper."""

import math

import pytest
import torch
from torch import nn

from amrbench.part import Strict
from amrbench.registry import Registry
from amrbench.slots.optimizers import OptimizerPart
from amrbench.types import Losses, TrainingLength
from amrbench_plugins.optimizers import amrbench_parts
from amrbench_plugins.optimizers.adamw import clip_each
from amrbench_plugins.optimizers.parts import AdamW, Cosine


class Bowl(nn.Module):
    """A curved loss in two tensors, and a third without gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Parameter(torch.tensor([2.0, -3.0], dtype=torch.float64))
        self.bias = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.idle = nn.Parameter(torch.tensor([7.0], dtype=torch.float64))

    def losses(self) -> Losses:
        total = (self.used**4).sum() / 10 + (self.used.sum() * self.bias).sin()
        return Losses(total=total, terms={"bowl": total.detach()})


def length(steps: int, clip: float) -> TrainingLength:
    return TrainingLength(epochs=1, steps_per_epoch=steps, clip=clip)


def by_hand(module: Bowl, part: AdamW, *, steps: int, clip: float) -> None:
    """Algorithm 2 of the paper, one number at a time, after clipping by the norm of all gradients."""
    factor, (b1, b2) = part.schedule.build(length(steps, clip)), (0.9, 0.999)
    weights = [module.used, module.bias]
    first = [torch.zeros_like(weight) for weight in weights]
    second = [torch.zeros_like(weight) for weight in weights]
    for step in range(1, steps + 1):
        gradients = torch.autograd.grad(module.losses().total, weights)
        norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
        scale = min(1.0, clip / (norm + 1e-6)) if clip else 1.0
        rate = part.lr * factor(step - 1)
        with torch.no_grad():
            for i, weight in enumerate(weights):
                g = gradients[i] * scale
                first[i] = b1 * first[i] + (1 - b1) * g
                second[i] = b2 * second[i] + (1 - b2) * g * g
                m, v = first[i] / (1 - b1**step), second[i] / (1 - b2**step)
                weight -= rate * part.weight_decay * weight
                weight -= rate * m / (v.sqrt() + 1e-8)


@pytest.mark.parametrize("clip", [0.0, 0.1, 1e6])
def test_steps_equal_the_plain_twin(clip):
    part = AdamW(lr=0.05, weight_decay=0.1, schedule=Cosine(warmup=0.3))
    ours, twin = Bowl(), Bowl()
    updater = part.build(ours, length(12, clip))
    for _ in range(12):
        updater.step(ours.losses)
    by_hand(twin, part, steps=12, clip=clip)
    torch.testing.assert_close(ours.used, twin.used, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(ours.bias, twin.bias, rtol=1e-9, atol=1e-12)


def test_a_weight_without_gradient_neither_moves_nor_decays():
    module = Bowl()
    updater = AdamW(lr=0.5, weight_decay=0.9).build(module, length(3, 0.1))
    updater.step(module.losses)
    assert module.idle.item() == 7


class Mixed(nn.Module):
    """A map, a norm and learned tokens; no loss has a gradient for them."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(2, 2)
        self.norm = nn.LayerNorm(2)
        self.tokens = nn.Parameter(torch.ones(3, 2))
        nn.init.ones_(self.map.bias)

    def losses(self) -> Losses:
        total = 0.0 * sum(weight.sum() for weight in self.parameters())
        return Losses(total=total, terms={})


@pytest.mark.parametrize(
    ("decays", "shrunk"),
    [
        ("everything", {"map.weight", "map.bias", "norm.weight", "norm.bias", "tokens"}),
        ("matrices", {"map.weight"}),
    ],
)
def test_weights_that_decay_are_an_option(decays, shrunk):
    module = Mixed()
    nn.init.ones_(module.norm.bias)
    before = {name: weight.detach().clone() for name, weight in module.named_parameters()}
    AdamW(lr=0.5, weight_decay=0.1, decays=decays).build(module, length(1, 0)).step(module.losses)
    for name, weight in module.named_parameters():
        factor = 0.95 if name in shrunk else 1.0
        torch.testing.assert_close(weight.detach(), factor * before[name], msg=name)


def test_each_gradient_of_an_array_is_shortened_and_none_is_lengthened():
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.tensor([[0.3, 0.4], [30.0, 40.0]])
    clip_each([weight], max_norm=1.0)
    torch.testing.assert_close(weight.grad, torch.tensor([[0.3, 0.4], [0.6, 0.8]]))


def test_the_first_losses_are_returned():
    module = Bowl()
    before = module.losses().total.item()
    losses = AdamW().build(module, length(1, 0)).step(module.losses)
    assert losses.total.item() == before


def test_eval_weights_are_the_weights():
    module = Bowl()
    with AdamW().build(module, length(1, 0)).eval_weights():
        assert module.idle.item() == 7


def test_a_recipe_can_name_every_part_of_the_plugin():
    class Training(Strict):
        optimizer: OptimizerPart

    registry = Registry.of(*amrbench_parts())
    options = {"use": "ema", "around": {"use": "adamw", "lr": 0.1, "schedule": {"use": "step", "at": [0.5]}}}
    chosen = Training.model_validate({"optimizer": options}, context=registry)
    assert Training.model_validate(chosen.model_dump(mode="json"), context=registry) == chosen
    assert registry.names("schedule") == ["constant", "cosine", "step"]
