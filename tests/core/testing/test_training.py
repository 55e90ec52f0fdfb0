import pytest
import torch
from pydantic import Field
from torch import nn

from amrbench.registry import Registry
from amrbench.slots.losses import LossPart
from amrbench.slots.matcher import MatcherPart
from amrbench.slots.optimizers import OptimizerPart, SchedulePart
from amrbench.testing import check_part
from amrbench.types import Losses
from amrbench_plugins.dual_encoder.parts import DualEncoder, NoMatcher
from tests.core.testing.defects import failure, part_of


def loss_with(terms):
    class Bad(LossPart):
        """A loss."""

        use = "bad"
        requires = frozenset({"similarity"})

        def build(self, context):
            return Applied(terms, self.weight)

    return Bad


class Applied(nn.Module):
    def __init__(self, terms, weight):
        super().__init__()
        self.terms, self.weight = terms, weight

    def forward(self, outcome):
        return self.terms(outcome.tensors["similarity"], self.weight)


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (lambda x, w: {}, "loss 'bad': it returns no term."),
        (
            lambda x, w: {"two words": x.mean()},
            "loss 'bad': the name 'two words' of a term is not lower-case letters, digits, '.', '_', '-'.",
        ),
        (lambda x, w: {"a": w * x}, "loss 'bad': the term 'a' has shape (4, 14), not () or (N,)."),
        (lambda x, w: {"a": w * x.mean() / 0}, "loss 'bad': the term 'a' is not finite: "),
        (lambda x, w: {"a": x.mean()}, "loss 'bad': doubling `weight` doubles no term."),
        (
            lambda x, w: {"a": w * x.mean(), "b": w**2 * x.mean()},
            "loss 'bad': doubling `weight` neither doubles nor keeps b.",
        ),
        (lambda x, w: {"a": w * x.detach().mean()}, "loss 'bad': its terms carry no gradient."),
        (lambda x, w: {"a": w * (0 * x).mean()}, "loss 'bad': all its gradients are zero."),
    ],
)
def test_a_defect_of_a_loss_is_found(terms, text):
    assert failure(loss_with(terms), DualEncoder, NoMatcher).startswith(text)


def test_a_loss_without_a_model_that_provides_its_tensors_says_what_to_pass():
    assert failure(loss_with(None), NoMatcher) == (
        "loss 'bad': it requires similarity, which no model here provides; pass one that does: "
        "check_part(part, registry, models=[...])."
    )


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
    ],
)
def test_a_defect_of_a_matcher_is_found(match, text):
    assert failure(part_of(MatcherPart, match), DualEncoder).startswith(text)


class Uphill(OptimizerPart):
    """An optimizer that climbs."""

    use = "bad"
    rate: float = Field(0.01, description="step")
    restores: bool = Field(True, description="whether eval_weights restores the weights")
    first: bool = Field(True, description="whether the losses are those of the first call")
    frozen: bool = Field(False, description="whether frozen weights move")

    def build(self, module, length):
        return UphillUpdater(self, module)


class UphillUpdater:
    def __init__(self, options, module):
        self.options, self.module = options, module

    def step(self, closure):
        self.module.zero_grad()
        losses = closure()
        losses.total.backward()
        with torch.no_grad():
            self.module.moved += self.options.rate * self.module.moved.grad
            if self.options.frozen:
                self.module.frozen += 1
        return losses if self.options.first else Losses(losses.total + 1, {})

    def end_epoch(self): ...

    def eval_weights(self):
        if not self.options.restores:
            with torch.no_grad():
                self.module.moved += 1
        return torch.no_grad()


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
    ],
)
def test_a_defect_of_an_optimizer_is_found(options, text):
    with pytest.raises(AssertionError) as error:
        check_part(Uphill(**options), Registry.of(Uphill))
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (lambda step: 2.0, "schedule 'bad': in 1 epochs of 1 steps a factor is [2.0], not in [0, 1]."),
        (lambda step: 0.0, "schedule 'bad': in 1 epochs of 1 steps all factors are 0."),
    ],
)
def test_a_defect_of_a_schedule_is_found(factor, text):
    assert failure(part_of(SchedulePart, factor)) == text
