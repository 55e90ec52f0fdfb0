import math
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import nn

from amrbench.errors import DataError, RunError
from amrbench.testing.small_data import make_batch
from amrbench.training.failures import StepError
from amrbench.training.log import Epoch
from amrbench.training.loop import (
    MeanLosses,
    StageInputs,
    fit,
    memory_mib,
)
from amrbench.types import Losses


class Number(nn.Module):
    """A single weight in place of a model with its losses."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.0))
        self.modes = []
        self.steps = []

    def forward(self, batch, target, step) -> Losses:
        self.modes.append(self.training)
        self.steps.append(step)
        value = self.weight + batch * target
        return Losses(value, {"value": value.detach(), "noise": torch.rand(())})


class Counter:
    """Adds 1 to the weight at each step; the weight that is validated is ten times as large."""

    def __init__(self, module: Number) -> None:
        self.module = module
        self.epochs = 0

    def step(self, closure):
        losses = closure()
        with torch.no_grad():
            self.module.weight += 1
        return losses

    def end_epoch(self) -> None:
        self.epochs += 1

    def state_dict(self):
        return {"epochs": self.epochs}

    def load_state_dict(self, state):
        self.epochs = state["epochs"]

    @contextmanager
    def eval_weights(self):
        assert self.epochs
        with torch.no_grad():
            self.module.weight *= 10
            yield
            self.module.weight /= 10


def inputs(module: Number, epochs: int = 3, batches=None, seed: int = 1) -> StageInputs:
    def validate():
        module.eval()
        return {"span": {"R1@0.7": module.weight.item()}}

    return StageInputs(
        name="toy stage",
        criterion=module,
        updater=Counter(module),
        batches=batches or (lambda epoch, step: [(1.0, 2.0), (epoch, 1.0)][step:]),
        validate=validate,
        epochs=epochs,
        steps=2,
        seed=seed,
    )


def trained(**options) -> list[Epoch]:
    module, epochs = Number(), []
    fit(inputs(module, **options), keep=epochs.append)
    assert set(module.modes) == {True}, "each epoch trains in training mode"
    assert module.steps == list(range(len(module.steps))), "steps are counted through the epochs"
    return epochs


def test_each_epoch_is_validated_and_kept_with_the_weights_for_evaluation():
    epochs = trained()
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]
    assert [epoch.val["span"]["R1@0.7"] for epoch in epochs] == [20, 40, 60]


def test_losses_are_means_over_the_steps():
    epochs = trained()
    assert [epoch.losses["value"] for epoch in epochs] == [(2 + 1) / 2, (4 + 3 + 1) / 2, (6 + 5 + 2) / 2]
    assert epochs[0].total == pytest.approx(1.5 + epochs[0].losses["noise"])


def test_random_draws_depend_on_seed_and_epoch_alone():
    def noise(**options):
        return [epoch.losses["noise"] for epoch in trained(**options)]

    torch.manual_seed(3)
    first = noise()
    torch.manual_seed(4)
    assert noise() == first
    assert len(set(first)) == 3
    assert noise(seed=2) != first
    assert noise(epochs=2) == first[:2]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_ends_training_before_the_weights_change(value):
    module = Number()
    with pytest.raises(StepError) as error:
        fit(
            inputs(module, batches=lambda epoch, _: [(1.0, 1.0), (1.0, value if epoch else 1.0)]),
            keep=lambda _: None,
        )
    assert str(error.value) == (
        f"toy stage, epoch 2, step 2 of 2: the loss term 'value' is not finite ({value})"
    )
    assert module.weight.item() == 3, "three steps were taken"


class Spoiling(Counter):
    """Makes the weight infinite at a step."""

    at: int

    def step(self, closure):
        losses = super().step(closure)
        if len(self.module.steps) == self.at:
            with torch.no_grad():
                self.module.weight.fill_(math.inf)
        return losses


@pytest.mark.parametrize(("at", "step"), [(1, 1), (2, 2)])
def test_a_step_that_spoils_the_weights_is_named(at, step):
    """After the first step the next loss shows it, after the last one of an epoch nothing else does."""
    module = Number()
    given = inputs(module)
    given.updater.__class__ = Spoiling
    given.updater.at = at
    with pytest.raises(
        StepError, match=f"^toy stage, epoch 1, step {step} of 2: the weights 'weight' are not"
    ):
        fit(given, keep=pytest.fail)


def test_steps_and_validation_are_reported():
    reports = []
    fit(inputs(Number(), epochs=2), keep=lambda _: None, report=reports.append)
    assert [report.text(2) for report in reports] == [
        f"epoch {epoch} of 2, {at}" for epoch in (1, 2) for at in ("step 1 of 2", "step 2 of 2", "validation")
    ]


class Huge(Number):
    """Asks for more memory than there is."""

    def forward(self, batch, target, step) -> Losses:
        return Losses(torch.empty(2**50), {})


def test_short_memory_names_the_step_the_request_and_what_to_lower():
    batch = make_batch()
    with pytest.raises(RunError) as error:
        fit(inputs(Huge(), batches=lambda *_: [(batch, None)]), keep=pytest.fail)
    assert str(error.value) == (
        "toy stage, epoch 1, step 1 of 2: out of memory: 4.00 PiB could not be had. The batch has 4 queries "
        f"of up to {batch.audio.shape[1]} rows and {batch.text.shape[1]} words. Each process has its own "
        "memory: a smaller --jobs helps and does not change the results. Otherwise lower 'training.batch' or "
        "'limits.frames' of the recipe."
    )


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DataError("predicted windows of 'a' are not finite; correct them."), "predicted windows of 'a'"),
        (MemoryError(), "out of memory: no more could be had. Each process"),
    ],
)
def test_a_failure_of_validation_names_the_epoch(error, message):
    def fail():
        raise error

    with pytest.raises(RunError, match=f"^toy stage, epoch 1, validation: {message}"):
        fit(replace(inputs(Number()), validate=fail), keep=pytest.fail)


def test_another_exception_is_not_changed():
    def broken(epoch, step):
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        trained(batches=broken)


def test_terms_may_be_missing_from_a_step():
    mean = MeanLosses()
    mean.add(Losses(torch.zeros(()), {"a": torch.tensor(4.0)}))
    mean.add(Losses(torch.zeros(()), {"a": torch.tensor(2.0), "b": torch.tensor(2.0)}))
    assert mean.read() == {"a": 3, "b": 1}
    assert mean.first_size() == 4
    assert MeanLosses().read() == {}
    assert MeanLosses().first_size() == 0


def test_memory_is_that_of_this_process():
    ballast = b"x" * 2**30
    command = "from amrbench.training.loop import memory_mib; print(memory_mib())"
    child = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert 50 < float(child.stdout) < len(ballast) / 2**20 < memory_mib() < 1e6
