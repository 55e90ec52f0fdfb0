"""A failing step is explained, and kept so that it can be taken again."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from amrbench.testing.small_data import make_batch, make_target
from amrbench.training.failures import BATCH, FAILURE, WEIGHTS, StepError, diagnose, keep_failure
from amrbench.training.step_check import StepCheck
from amrbench.types import Losses

BATCH_ = make_batch()
TARGET = make_target(BATCH_)


class Terms(nn.Module):
    """The terms that a function makes of two weights."""

    def __init__(self, make) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(1.0))
        self.b = nn.Parameter(torch.tensor(0.0))
        self.make = make

    def terms(self, batch, target, step):
        return self.make(self, step)

    def forward(self, batch, target, step) -> Losses:
        terms = self.terms(batch, target, step)
        return Losses(sum(terms.values()), {name: value.detach() for name, value in terms.items()})


def failure_of(make, *, steps: int = 3) -> StepError:
    """Take steps of gradient descent until one fails."""
    criterion = Terms(make)
    check, error = StepCheck(criterion), None
    optimizer = torch.optim.SGD(criterion.parameters(), lr=1.0)
    try:
        for step in range(steps):
            check.begin(0, step, BATCH_, TARGET)
            optimizer.zero_grad()
            check.losses().total.backward()
            optimizer.step()
    except Exception as raised:
        error = raised
    diagnosis = diagnose(check, error)
    assert diagnosis
    return StepError("at", diagnosis, criterion)


def bad_at(step, value):
    return lambda number: torch.tensor(value if number == step else 1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda own, step: {"x": own.a, "y": own.a * bad_at(1, float("nan"))(step)},
            "at: the loss term 'y' is not finite (nan)",
        ),
        (
            lambda own, step: {"x": own.a * bad_at(1, float("inf"))(step), "y": own.a / bad_at(1, 0.0)(step)},
            "at: the loss terms 'x', 'y' are not finite ('x' -inf, 'y' -inf)",
        ),
        (
            lambda own, step: {"x": 0 * own.a + 3e38, "y": 0 * own.a + (3e38 if step else 0)},
            "at: the sum of the loss terms is not finite, though each term is ('x' 3e+38, 'y' 3e+38)",
        ),
        (
            lambda own, step: {"x": own.a, "y": (0 * own.b + bad_at(1, 0.0)(step)).sqrt()},
            "at: the gradient of the loss term 'y' is not finite for the weights 'b', though the loss "
            "itself is",
        ),
    ],
)
def test_what_is_not_finite_is_named(make, message):
    error = failure_of(make)
    assert str(error) == message
    assert error.diagnosis.record.step == 1


def test_a_failure_of_the_first_step_is_not_put_down_to_the_learning_rate():
    first, second = (
        failure_of(lambda own, step, at=at: {"x": own.a * bad_at(at, float("nan"))(step)}).diagnosis.remedy
        for at in (0, 1)
    )
    assert first.startswith("No weight has been changed before, so the learning rate is not the cause")
    assert second.startswith("Try a lower learning rate")


def test_finite_numbers_are_no_failure():
    check = StepCheck(Terms(lambda own, step: {"x": own.a}))
    assert diagnose(check) is None
    check.begin(0, 0, BATCH_, TARGET)
    check.losses()
    assert diagnose(check) is None
    assert diagnose(check, ValueError("a bug")) is None


def test_a_kept_step_gives_the_same_losses_again(tmp_path):
    def make(own, step):
        return {"x": own.a * torch.rand(()), "y": own.a * bad_at(2, float("nan"))(step)}

    error = failure_of(make)
    keep_failure(error, tmp_path, {"stage": "toy", "qids": ["1", "2"]})
    description = json.loads((tmp_path / FAILURE).read_text())
    assert {name: description[name] for name in ("message", "epoch", "step", "step_of_stage", "terms")} == {
        "message": "at: the loss term 'y' is not finite (nan)",
        "epoch": 1,
        "step": 3,
        "step_of_stage": 2,
        "terms": ["y"],
    }
    assert (description["stage"], description["qids"]) == ("toy", ["1", "2"])
    assert description["losses"]["y"] == description["losses"]["total"] == "nan"

    again, batch = Terms(make), load_file(tmp_path / BATCH)
    again.load_state_dict(load_file(tmp_path / WEIGHTS))
    assert torch.equal(batch["batch.audio"], BATCH_.audio)
    assert torch.equal(batch["target.spans"], TARGET.spans)
    torch.set_rng_state(batch["random.cpu"])
    losses = again(BATCH_, TARGET, description["step_of_stage"])
    assert losses.terms["x"].item() == description["losses"]["x"]
