"""The training loop of several models at once: what it keeps, and which model a failure names."""

import math

import pytest
import torch
from torch import nn

from amrbench.data.out_of_memory import MemoryShortError
from amrbench.errors import RunError
from amrbench.training.array_loop import fit_array
from amrbench.training.criterion import Criterion
from amrbench.training.failures import StepError
from amrbench.training.loop import StageInputs, fit
from amrbench.training.model_array import CriterionArray, stack
from amrbench.types import Encoded
from tests.core.training.test_model_array import data, no_matches
from tests.small_world.parts import Descent

EPOCHS, STEPS = 2, 3


class Weight(nn.Module):
    """Multiplies the audio by one weight."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))

    def encode(self, batch, views=()):
        return Encoded(None, {"x": (batch.audio * self.weight).sum((1, 2)) / batch.audio_mask.sum(1)})

    def decode(self, encoded):
        return {}


class Loss(nn.Module):
    """What a function makes of what the model gives, and the number of the step."""

    def __init__(self, of=torch.square) -> None:
        super().__init__()
        self.of = of

    def forward(self, outcome):
        return {"loss": self.of(outcome.tensors["x"]).sum(), "step": torch.tensor(float(outcome.step))}


def refuse_infinite(tensors, target):
    """Match nothing; outside of vmap, refuse what is not finite, as a matcher does on the host."""
    return Refusing.apply(tensors["x"], target.spans_mask)


class Refusing(torch.autograd.Function):
    @staticmethod
    def forward(x, mask):
        if not x.isfinite().all():
            raise RunError("the model predicts spans or scores that are not finite numbers.")
        return no_matches({}, type("Target", (), {"spans_mask": mask}))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info, dims, x, mask):
        return torch.stack([Refusing.forward(*pair) for pair in zip(x, mask, strict=True)]), 0


def batch_of(seed: int, epoch: int, step: int, spoil):
    batch, target = data(seed)
    return type(batch)(**vars(batch) | {"audio": spoil(batch.audio, seed, epoch, step)}), target


def inputs_of(seeds, module, *, spoil, validate=dict, array=False) -> StageInputs:
    def batches(epoch, first):
        for step in range(first, STEPS):
            own = [batch_of(seed, epoch, step, spoil) for seed in seeds]
            yield tuple(map(stack, zip(*own, strict=True))) if array else own[0]

    name = "toy, " + ("all" if array else f"seed {seeds[0]}")
    return StageInputs(name, module, Descent().build(module, None), batches, validate, EPOCHS, STEPS, 0)


def criterion(seed: int, of=torch.square) -> Criterion:
    return Criterion(Weight(seed - 0.5), refuse_infinite, {"loss": Loss(of)})


def fitted(count: int = 2, *, of=torch.square, spoil=lambda audio, *_: audio):
    """Train some models at once; return the epochs of each, with its weight in place of a metric."""
    criteria = [criterion(seed, of) for seed in range(count)]
    array = CriterionArray(criteria)
    epochs = {seed: [] for seed in range(count)}
    models = [
        inputs_of([seed], own, spoil=spoil, validate=lambda own=own: {"x": {"R1": own.model.weight.item()}})
        for seed, own in enumerate(criteria)
    ]
    together = inputs_of(range(count), array, spoil=spoil, array=True)
    fit_array(together, models, keep=lambda seed, epoch: epochs[seed].append(epoch))
    return epochs


def test_epochs_are_those_of_each_model_alone():
    for seed, epochs in fitted(3).items():
        alone, own = [], criterion(seed)
        inputs = inputs_of([seed], own, spoil=lambda audio, *_: audio)
        fit(inputs, keep=lambda epoch, own=own, alone=alone: alone.append((epoch, own.model.weight.item())))
        for epoch, (expected, weight) in zip(epochs, alone, strict=True):
            assert epoch.epoch == expected.epoch
            assert epoch.losses == pytest.approx(expected.losses)
            assert epoch.first == pytest.approx(expected.first)
            assert epoch.val == {"x": {"R1": pytest.approx(weight)}}
            assert epoch.seconds > 0


def spoiled(value: float):
    """Return a function that spoils one number of seed 1 in the second step of the second epoch."""

    def spoil(audio, seed, epoch, step):
        audio = audio.clone()
        if (seed, epoch, step) == (1, 1, 1):
            audio[0, 0, 0] = value
        return audio

    return spoil


def zeroed(audio, seed, epoch, step):
    return audio * 0 if (seed, epoch, step) == (1, 0, 2) else audio


@pytest.mark.parametrize(
    ("of", "spoil", "message"),
    [
        (torch.square, spoiled(1e30), "epoch 2, step 2 of 3: the loss term 'loss' is not finite (inf)"),
        (
            torch.square,
            spoiled(math.nan),
            "epoch 2, step 2 of 3: the model predicts spans or scores that are not finite numbers",
        ),
        (
            lambda x: x.square().sqrt(),
            zeroed,
            "epoch 1, step 3 of 3: the gradient of the loss term 'loss' is not finite for the weights "
            "'model.weight', though the loss itself is",
        ),
    ],
)
def test_a_failure_names_the_model_that_failed(of, spoil, message):
    with pytest.raises(StepError) as error:
        fitted(3, of=of, spoil=spoil)
    assert str(error.value) == f"toy, seed 1, {message}"
    weight = error.value.criterion.model.weight
    assert weight.isfinite(), "the weights are those from before the step"
    assert error.value.diagnosis.record.batch.audio.shape == (2, 14, 12), "its own batch, as it was stacked"


def test_other_errors_are_passed_on():
    def fail(x):
        raise ValueError("a mistake in a part")

    with pytest.raises(ValueError, match="a mistake in a part"):
        fitted(of=fail)


def test_short_memory_has_an_error_of_its_own():
    def fill(x):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(MemoryShortError) as error:
        fitted(of=fill)
    assert str(error.value) == "out of memory: 2.00 GiB could not be had"
