"""Steps are checked when their values arrive, and what determines a step is remembered."""

from collections import deque

import pytest
import torch
from torch import nn

from amrbench.training import step_check
from amrbench.training.step_check import UNREAD, NotFiniteError, StepCheck
from amrbench.types import Losses


class Sum(nn.Module):
    """The sum of a batch and two weights; draws one random number and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.frozen = nn.Parameter(torch.tensor(5.0), requires_grad=False)
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, batch, target, step) -> Losses:
        self.calls += 1
        value = self.weight + batch
        return Losses(value, {"value": value.detach(), "noise": torch.rand(())})


def steps(check: StepCheck, *batches: float) -> None:
    for step, batch in enumerate(batches):
        check.begin(0, step, batch, None)
        check.losses().total.backward()
        with torch.no_grad():
            check.criterion.weight += 1


def test_on_a_cpu_the_values_of_a_step_are_read_before_its_update():
    check = StepCheck(Sum())
    with pytest.raises(NotFiniteError) as error:
        steps(check, 1.0, float("nan"), 1.0)
    assert error.value.record.step == 1
    assert check.criterion.weight.item() == 2, "one step was taken"
    values = error.value.values
    assert list(values) == ["value", "noise", "total"]
    assert 0 <= values["noise"] < 1


@pytest.fixture
def late(monkeypatch):
    """Let values be on their way for ever, and return a check that keeps as much as on a GPU."""
    monkeypatch.setattr(step_check._ComingValues, "has_arrived", lambda self: False)
    check = StepCheck(Sum())
    check.records = deque(maxlen=UNREAD + 2)
    return check


def test_values_on_their_way_are_waited_for_only_after_later_steps(late):
    steps(late, *[1.0] * 2, float("nan"), *[1.0] * (UNREAD - 1))
    late.begin(0, 9, 1.0, None)
    with pytest.raises(NotFiniteError) as error:
        late.losses()
    record = error.value.record
    assert record.step == 2
    assert record.weights[0].item() == 3, "the copy from before the step is still there"


def test_at_the_end_all_values_are_read(late):
    steps(late, 1.0, float("inf"))
    with pytest.raises(NotFiniteError):
        late.read_all()
    late.read_all()


def test_a_step_can_be_taken_again():
    check = StepCheck(Sum())
    steps(check, 1.0, 2.0)
    check.begin(3, 4, 5.0, None)
    record = check.records[-1]
    first = check.losses()
    steps(check, 1.0)
    check.restore(record)
    assert check.criterion.calls == 2
    assert (record.epoch, record.step, record.index) == (3, 4, 2)
    again = check.criterion(record.batch, record.target, record.index)
    assert torch.equal(again.total, first.total)
    assert torch.equal(again.terms["noise"], first.terms["noise"])


def test_copies_are_made_once_and_of_what_training_changes():
    check = StepCheck(Sum())
    steps(check, *[1.0] * 9)
    assert len(check.records) == 2
    assert [len(record.weights) for record in check.records] == [2, 2]
    pointers = {record.weights[0].data_ptr() for record in check.records}
    steps(check, *[1.0] * 9)
    assert {record.weights[0].data_ptr() for record in check.records} == pointers


def test_remembering_a_step_changes_no_random_number():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    check = StepCheck(Sum())
    check.begin(0, 0, 1.0, None)
    assert torch.equal(torch.rand(3), expected)
