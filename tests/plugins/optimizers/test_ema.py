"""Averages of weights equal the recorded ones."""

import json
import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from amrbench.registry import Registry
from amrbench.slots.optimizers import OptimizerPart
from amrbench.types import Losses, TrainingLength
from amrbench_plugins.optimizers import amrbench_parts
from amrbench_plugins.optimizers.adamw import AdamW
from amrbench_plugins.optimizers.ema import Ema
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


def trained(monkeypatch, options: dict, *, epochs: int, steps: int = 1) -> list[Tensor]:
    """Return the weight that is scored after each epoch."""
    monkeypatch.setattr(AdamW, "build", lambda self, module, length: Descent(module))
    module = Counting()
    updater = Ema(around=AdamW(), **options).build(module, TrainingLength(epochs, steps, clip=0))
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


def test_the_average_follows_the_recorded_one(monkeypatch):
    scored = trained(monkeypatch, {"decay": GOLDEN["decay"], "start": 0}, epochs=4)
    for weight, golden in zip(scored, GOLDEN["ema"], strict=True):
        torch.testing.assert_close(weight, torch.tensor(golden["weight"]), rtol=1e-6, atol=1e-6)


def test_epochs_before_the_start_are_copied(monkeypatch):
    scored = trained(monkeypatch, {"decay": 0.5, "start": 0.125}, epochs=16)
    values = [weight[0, 0].item() for weight in scored]
    expected, mean = [], 1.0
    for epoch in range(16):
        raw = 2.0 + epoch
        mean = raw if epoch < 2 else 0.5 * mean + 0.5 * raw
        expected.append(mean)
    assert values == pytest.approx(expected)


def test_steps_may_be_averaged_instead(monkeypatch):
    scored = trained(monkeypatch, {"decay": 0.9, "start": 0.25, "every": "step"}, epochs=4, steps=2)
    expected, mean = [], 1.0
    for step in range(8):
        mean = 2.0 + step if step < 2 else 0.9 * mean + 0.1 * (2.0 + step)
        expected.append(mean)
    assert [weight[0, 0].item() for weight in scored] == pytest.approx(expected[1::2])


def test_a_horizon_is_a_fraction_of_the_stage(monkeypatch):
    assert Ema(around=AdamW(), horizon=0.5).decay_over(200) == pytest.approx(0.99, abs=1e-4)
    relative = trained(monkeypatch, {"horizon": 0.5, "start": 0}, epochs=4)
    absolute = trained(monkeypatch, {"decay": math.exp(-1 / 2), "start": 0}, epochs=4)
    assert all(torch.equal(a, b) for a, b in zip(relative, absolute, strict=True))


def test_without_decay_and_horizon_the_decay_is_that_of_the_teams_code():
    assert Ema(around=AdamW()).decay_over(7) == Ema(around=AdamW(), decay=0.99).decay_over(7) == 0.99


def test_decay_and_horizon_together_are_refused():
    with pytest.raises(ValidationError) as error:
        Ema(around=AdamW(), decay=0.99, horizon=0.5)
    message = "decay is 0.99 and horizon 0.5, but both set how long weights count; give one of them."
    assert message in str(error.value)


@pytest.mark.parametrize("options", [{}, {"decay": 0.0}, {"horizon": 0.5}])
def test_written_options_are_valid(options):
    part, registry = Ema(around=AdamW(), **options), Registry.of(*amrbench_parts())
    assert OptimizerPart.model_validate(part.model_dump(mode="json"), context=registry) == part


def test_no_decay_is_the_raw_weight_and_full_decay_the_first(monkeypatch):
    raw = trained(monkeypatch, {"decay": 0.0, "start": 0}, epochs=3)
    frozen = trained(monkeypatch, {"decay": 1.0, "start": 0}, epochs=3)
    assert [weight[0, 0].item() for weight in raw] == [2, 3, 4]
    assert [weight[0, 0].item() for weight in frozen] == [1, 1, 1]


def test_the_raw_weights_are_restored_after_an_error(monkeypatch):
    monkeypatch.setattr(AdamW, "build", lambda self, module, length: Descent(module))
    module = Counting()
    updater = Ema(around=AdamW(), start=0).build(module, TrainingLength(1, 1, clip=0))
    updater.step(module.losses)
    updater.end_epoch()
    raw = module.weight.detach().clone()
    with pytest.raises(KeyError), updater.eval_weights():
        raise KeyError
    assert torch.equal(module.weight, raw)
