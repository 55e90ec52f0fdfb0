import pytest
import torch

from amrbench.testing.model import build_model
from amrbench.testing.model_runs import changes, expect_same, paddings, picked, rows_of, run_model
from amrbench.testing.small_data import make_batch
from tests.small_world.parts import ToyModel

PART = ToyModel()


@pytest.fixture(scope="module")
def run():
    return run_model(build_model(PART), make_batch(), PART.views)


def test_a_run_has_all_that_is_provided(run):
    assert {name: axes for name, (_, axes) in run.tensors(PART).items()} == {
        "similarity": "B T",
        "span": "B Q 2",
        "score": "B Q",
    }
    assert list(run.view_tensors(PART)) == ["similarity of the view rolled"]
    assert run.masks.keys() == {"T", "L"}


def test_a_batch_is_changed_in_each_way_once():
    batch = make_batch()
    causes = [change.cause for change in changes(batch)]
    assert causes == [
        *("extra padding", "extra padding", "the order of the queries"),
        *("the rest of the batch", "the rest of the batch", "which queries share a recording"),
    ]
    assert [len(change.batch.audio) for change in changes(batch)] == [4, 4, 4, 1, 1, 4]
    assert [change.batch.audio.shape[1] for change in paddings(batch)] == [23, 14]


def test_rows_are_picked_along_the_batch():
    tensor = torch.arange(6).reshape(2, 3)
    assert rows_of(tensor, "N B", [2, 0]).tolist() == [[2, 0], [5, 3]]
    one, two = picked({"a": (tensor, "N B"), "b": (tensor, "P D")}, [1]).values()
    assert one[0].tolist() == [[1], [4]]
    assert two[0] is tensor


def test_a_difference_is_told_with_cause_and_remedy():
    one, other = {"x": (torch.zeros(2), "B")}, {"x": (torch.ones(2), "B")}
    expect_same(one, one, "model 'm': this", "Do that.", masks={})
    with pytest.raises(AssertionError) as error:
        expect_same(one, other, "model 'm': this", "Do that.", masks={})
    assert str(error.value) == "model 'm': this changes 'x' (B): it is 1 instead of 0 at B 0. Do that."
