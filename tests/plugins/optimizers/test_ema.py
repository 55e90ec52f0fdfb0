"""Averages of weights equal the recorded ones."""

import json
import math

import pytest
import torch
from torch import Tensor, nn

from amrbench.registry import Registry
from amrbench.slots.optimizers import OptimizerPart
from amrbench.types import Losses, TrainingLength
from amrbench_plugins.optimizers import amrbench_parts
from amrbench_plugins.optimizers.ema import Average, EpochAverage, StepAverage
from amrbench_plugins.optimizers.parts import AdamW, Ema
from tests.folders import DATA

GOLDEN = json.loads((DATA / "components/ema.json").read_text())


class Counting(nn.Module):
    """A weight that one step of plain descent raises by 1, and an integer buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(GOLDEN["start_weight"], dtype=torch.float32))
        self.register_buffer("count", torch.tensor(10))

    def losses(self) -> Losses:
        self.count += 10
        return Losses(total=-self.weight.sum(), terms={})


class Descent:
    """Moves the weight by 1 against its gradient."""

    def __init__(self, module: Counting) -> None:
        self.module = module

    def step(self, closure):
        losses = closure()
        (gradient,) = torch.autograd.grad(losses.total, [self.module.weight])
        with torch.no_grad():
            self.module.weight -= gradient
        return losses

    def end_epoch(self) -> None:
        self.ended = True

    def eval_weights(self):
        return torch.no_grad()


def trained(kind: type[Average], *, decay: float, copies: int, epochs: int, steps: int = 1) -> list[Tensor]:
    """Return the weight that is scored after each epoch."""
    module = Counting()
    updater = kind(module, Descent(module), decay=decay, copies=copies)
    scored = []
    for _ in range(epochs):
        for _ in range(steps):
            updater.step(module.losses)
        updater.end_epoch()
        raw = module.weight.detach().clone()
        with updater.eval_weights():
            scored.append(module.weight.detach().clone())
            assert module.count == 10 + 10 * steps * len(scored), "buffers are the model's own"
        assert torch.equal(module.weight, raw), "the raw weights are back, bit for bit"
    return scored


def test_the_average_follows_the_recorded_one():
    scored = trained(EpochAverage, decay=GOLDEN["decay"], copies=0, epochs=4)
    for weight, golden in zip(scored, GOLDEN["ema"], strict=True):
        torch.testing.assert_close(weight, torch.tensor(golden["weight"]), rtol=1e-6, atol=1e-6)


def test_epochs_before_the_start_are_copied():
    scored = trained(EpochAverage, decay=0.5, copies=2, epochs=16)
    values = [weight[0, 0].item() for weight in scored]
    expected, mean = [], 1.0
    for epoch in range(16):
        raw = 2.0 + epoch
        mean = raw if epoch < 2 else 0.5 * mean + 0.5 * raw
        expected.append(mean)
    assert values == pytest.approx(expected)


def test_steps_may_be_averaged_instead():
    scored = trained(StepAverage, decay=0.9, copies=2, epochs=4, steps=2)
    expected, mean = [], 1.0
    for step in range(8):
        mean = 2.0 + step if step < 2 else 0.9 * mean + 0.1 * (2.0 + step)
        expected.append(mean)
    assert [weight[0, 0].item() for weight in scored] == pytest.approx(expected[1::2])


def test_no_decay_is_the_raw_weight_and_full_decay_the_first():
    raw = trained(EpochAverage, decay=0.0, copies=0, epochs=3)
    frozen = trained(EpochAverage, decay=1.0, copies=0, epochs=3)
    assert [weight[0, 0].item() for weight in raw] == [2, 3, 4]
    assert [weight[0, 0].item() for weight in frozen] == [1, 1, 1]


def test_the_raw_weights_are_restored_after_an_error():
    module = Counting()
    updater = EpochAverage(module, Descent(module), decay=0.99, copies=0)
    updater.step(module.losses)
    updater.end_epoch()
    raw = module.weight.detach().clone()
    with pytest.raises(KeyError), updater.eval_weights():
        raise KeyError
    assert torch.equal(module.weight, raw)


def test_horizon_and_start_are_fractions_of_the_stage():
    of_epochs = Ema(around=AdamW()).build(Counting(), TrainingLength(200, 3, clip=0))
    assert (type(of_epochs), of_epochs.copies) == (EpochAverage, 25)
    assert of_epochs.decay == pytest.approx(0.99, abs=1e-4), "as in the team's code"
    part = Ema(around=AdamW(), every="step", horizon=0.25, start=0.5)
    of_steps = part.build(Counting(), TrainingLength(4, 3, clip=0))
    assert (type(of_steps), of_steps.copies) == (StepAverage, 6)
    assert of_steps.decay == pytest.approx(math.exp(-1 / 3))
    assert Ema(around=AdamW()).build(Counting(), TrainingLength(0, 3, clip=0)).decay < 1


def test_an_average_goes_on_from_its_state():
    part, modules = (
        Ema(around=AdamW(lr=0.1), every="step", horizon=0.25, start=0.25),
        (Counting(), Counting()),
    )
    first, second = (part.build(module, TrainingLength(1, 8, clip=0)) for module in modules)
    for _ in range(4):
        first.step(modules[0].losses)
    modules[1].load_state_dict(modules[0].state_dict())
    second.load_state_dict(first.state_dict())
    for updater, module in zip((first, second), modules, strict=True):
        for _ in range(3):
            updater.step(module.losses)
    raw = modules[0].weight.detach().clone()
    with first.eval_weights(), second.eval_weights():
        assert torch.equal(modules[1].weight, modules[0].weight), "neither copied again nor averaged anew"
        assert not torch.equal(modules[0].weight, raw)


def test_written_options_are_valid():
    part, registry = Ema(around=AdamW(), horizon=0.25), Registry.of(*amrbench_parts())
    assert OptimizerPart.model_validate(part.model_dump(mode="json"), context=registry) == part
