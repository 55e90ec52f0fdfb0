from contextlib import contextmanager

import pytest
import torch
from pydantic import Field
from torch import nn

from amrbench.registry import Registry
from amrbench.slots.matcher import MatcherPart
from amrbench.slots.model import ModelPart
from amrbench.slots.optimizers import OptimizerPart, SchedulePart
from amrbench.testing import check_part
from amrbench.types import Encoded, Losses
from amrbench_plugins.frame_models.parts import DualEncoder
from tests.core.testing.defects import failure, part_of


class Asking(ModelPart):
    """A model with ten queries."""

    use = "asking"

    @property
    def provides(self):
        return {"answers": "B Q"}

    def build(self, context):
        with context.drawing():
            return AskingNet(context.features.audio)


class AskingNet(nn.Module):
    """See `Asking`."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, 10)

    def encode(self, batch, views=()):
        return Encoded(self.linear(batch.audio.amax(1)), {})

    def decode(self, encoded):
        return {"answers": encoded.state}


def in_turn(target, first):
    """Match the spans of each sample to queries in turn, from the first on."""
    queries = (torch.arange(target.spans.shape[1]) + first) % 8
    return torch.where(target.spans_mask, queries, -1)[None]


class Moving:
    """A matcher that prefers other queries in each call."""

    calls = 0

    def __call__(self, tensors, target):
        self.calls += 1
        return in_turn(target, self.calls)


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (
            lambda tensors, target: target.spans,
            "matcher 'bad': it returns torch.float32 of (4, 2, 2), not integers",
        ),
        (
            lambda tensors, target: torch.zeros(1, *target.spans_mask.shape, dtype=torch.long),
            "matcher 'bad': it matches padded spans; give -1 there.",
        ),
        (
            lambda tensors, target: torch.where(target.spans_mask, 0, -1)[None],
            "matcher 'bad': it matches one query to two spans.",
        ),
        (
            lambda tensors, target: torch.where(target.spans_mask, 99, -1)[None],
            "matcher 'bad': a matched query is not one of 0 to 9.",
        ),
        (
            Moving(),
            "matcher 'bad': calling it again changes its matches. Keep no state.",
        ),
        (
            lambda tensors, target: in_turn(target, target.spans.shape[0]),
            "matcher 'bad': the rest of the batch changes its matches.",
        ),
        (
            lambda tensors, target: in_turn(target, target.relevant.shape[1]),
            "matcher 'bad': extra padding changes its matches.",
        ),
        (
            lambda tensors, target: in_turn(target, int(target.spans.mul_(2).sum() * 0)),
            "matcher 'bad': it writes into target.spans, which it is given. Change a copy (clone).",
        ),
    ],
)
def test_a_defect_of_a_matcher_is_found(match, text):
    assert failure(part_of(MatcherPart, match), Asking).startswith(text)


def test_a_matcher_that_reads_a_tensor_that_it_does_not_require_is_found():
    part = part_of(MatcherPart, lambda tensors, target: in_turn(target, int(tensors["answers"].sum() * 0)))
    assert failure(part, Asking) == (
        "matcher 'bad': it reads 'answers' without requiring it; add it to `requires`."
    )


def test_a_match_with_a_model_without_queries_is_found():
    part = part_of(MatcherPart, lambda tensors, target: torch.where(target.spans_mask, 0, -1)[None])
    assert failure(part, DualEncoder) == (
        "matcher 'bad': a matched query is not there: the model has no queries, so return (0, B, W)."
    )


class Uphill(OptimizerPart):
    """An optimizer that climbs."""

    use = "bad"
    rate: float = Field(0.01, description="step")
    restores: bool = Field(True, description="whether eval_weights restores the weights")
    first: bool = Field(True, description="whether the losses are those of the first call")
    frozen: bool = Field(False, description="whether frozen weights move")
    unit: bool = Field(False, description="whether steps have the same length for whatever is trained")
    resumes: bool = Field(True, description="whether the rate and the average go on as they were")
    averages: bool = Field(False, description="whether eval_weights are an average")

    def build(self, module, length):
        return UphillUpdater(self, module)


class UphillUpdater:
    def __init__(self, options, module):
        self.options, self.module = options, module
        self.steps = 0
        self.mean = module.moved.detach().clone()

    def step(self, closure):
        self.module.zero_grad()
        losses = closure()
        losses.total.sum().backward()
        gradient = self.module.moved.grad
        with torch.no_grad():
            length = gradient.norm() if self.options.unit else (1 + self.steps) ** 0.1
            self.module.moved += self.options.rate * gradient / length
            if self.options.frozen:
                self.module.frozen += 1
        self.steps += 1
        self.mean.lerp_(self.module.moved.detach(), 0.1)
        return losses if self.options.first else Losses(losses.total + 1, {})

    def end_epoch(self): ...

    def state_dict(self):
        return {"steps": self.steps, "mean": self.mean}

    def load_state_dict(self, state):
        if self.options.resumes:
            self.steps, self.mean = state["steps"], state["mean"]

    @contextmanager
    def eval_weights(self):
        trained = self.module.moved.detach().clone()
        with torch.no_grad():
            if self.options.averages:
                self.module.moved.copy_(self.mean)
            yield
            self.module.moved.copy_(trained)
            if not self.options.restores:
                self.module.moved += 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "optimizer 'bad': its eval_weights do not lower a quadratic."),
        (
            {"rate": -0.01, "restores": False},
            "optimizer 'bad': after eval_weights the weights are not what they were before.",
        ),
        (
            {"rate": -0.01, "first": False},
            "optimizer 'bad': step 0 does not return the losses of its first call.",
        ),
        ({"rate": -0.01, "frozen": True}, "optimizer 'bad': it moves a frozen weight."),
        (
            {"rate": -0.01, "resumes": False},
            "optimizer 'bad': with the state_dict of half of the steps, the other half gives other weights. "
            "Save all that the next steps read.",
        ),
        (
            {"rate": -0.01, "averages": True, "resumes": False, "unit": True},
            "optimizer 'bad': with the state_dict of half of the steps, the other half gives other weights "
            "in eval_weights. Save all that the next steps read.",
        ),
    ],
)
def test_a_defect_of_an_optimizer_is_found(options, text):
    with pytest.raises(AssertionError) as error:
        check_part(Uphill(**options), Registry.of(Uphill))
    assert str(error.value) == text


def test_an_optimizer_whose_average_goes_on_passes():
    check_part(Uphill(rate=-0.01, averages=True), Registry.of(Uphill))


def test_an_optimizer_that_mixes_the_models_of_an_array_is_found(monkeypatch):
    check_part(Uphill(rate=-0.01, unit=True), Registry.of(Uphill))
    monkeypatch.setattr(Uphill, "updates_arrays", True)
    check_part(Uphill(rate=-0.01), Registry.of(Uphill))
    with pytest.raises(AssertionError) as error:
        check_part(Uphill(rate=-0.01, unit=True), Registry.of(Uphill))
    assert str(error.value) == (
        "optimizer 'bad': in an array of models, 'moved' is not what it is for a model alone."
    )


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (lambda step: 2.0, "schedule 'bad': in 1 epochs of 1 steps a factor is [2.0], not in [0, 1]."),
        (lambda step: 0.0, "schedule 'bad': in 1 epochs of 1 steps all factors are 0."),
    ],
)
def test_a_defect_of_a_schedule_is_found(factor, text):
    assert failure(part_of(SchedulePart, factor)) == text
