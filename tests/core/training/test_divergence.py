from dataclasses import replace
from typing import NamedTuple

import pytest

from amrbench.notes import Note, collected_notes
from amrbench.training.divergence import DivergenceNotes
from amrbench.training.log import Epoch, RunningStage, StageProgress
from tests.small_world.runs import Recorder

STAGE = RunningStage("toy pretrain", 9, "span", "R1@0.7")


def epoch(number: int, **losses: float) -> Epoch:
    return Epoch(number, losses, {}, 1.0, 1.0)


def test_a_loss_a_thousand_times_the_first_is_noted_once_a_stage():
    watch = DivergenceNotes(Recorder())
    watch.epoch(STAGE, epoch(1, a=1.0, b=1.0))
    watch.epoch(STAGE, epoch(2, a=1999.0, b=1.0))
    with pytest.warns(Note) as notes:
        watch.epoch(STAGE, epoch(3, a=2000.0, b=1.0))
    assert [str(note.message) for note in notes] == [
        "toy pretrain: the mean loss of epoch 3 is 2e+03, more than 1,000 times that of the first epoch (2): "
        "training diverges. Its best epoch is kept. Try a lower learning rate (training.optimizer), a longer "
        "warm-up or a smaller training.clip."
    ]
    watch.epoch(STAGE, epoch(4, a=9e9, b=1.0))


def test_a_first_epoch_that_diverges_is_compared_with_its_first_step():
    watch = DivergenceNotes(Recorder())
    with pytest.warns(
        Note, match=r"of epoch 1 is 3e\+04, more than 1,000 times that of its first step \(29\)"
    ):
        watch.epoch(STAGE, replace(epoch(1, a=3e4), first=29.0))
    watch.epoch(STAGE, replace(epoch(2, a=9e9), first=3.0))


def test_a_low_first_step_of_a_later_epoch_is_no_divergence():
    watch = DivergenceNotes(Recorder())
    watch.epoch(STAGE, replace(epoch(1, a=3.0), first=29.0))
    watch.epoch(STAGE, replace(epoch(2, a=3.0), first=0.001))


class Case(NamedTuple):
    first: dict
    later: dict
    noted: bool


@pytest.mark.parametrize(
    "case",
    [
        Case({"a": -1.0}, {"a": -999.0}, False),
        Case({"a": -1.0}, {"a": -1001.0}, True),
        Case({"a": 5.0, "b": -5.0}, {"a": 6.0, "b": -5.0}, False),  # The first total is 0.
        Case({"a": 1.0}, {"a": float("inf")}, True),
        Case({}, {}, False),
    ],
)
def test_terms_count_without_their_signs(case):
    watch = DivergenceNotes(Recorder())
    with collected_notes() as notes:
        watch.epoch(STAGE, epoch(1, **case.first))
        watch.epoch(STAGE, epoch(2, **case.later))
    assert bool(notes) is case.noted


def test_everything_is_passed_on():
    recorder = Recorder()
    watch = DivergenceNotes(recorder)
    watch.note("x")
    watch.step(STAGE, StageProgress(1, 2, 3))
    watch.epoch(STAGE, epoch(1, a=1.0))
    watch.end(STAGE)
    assert recorder.notes == ["x"]
    assert recorder.steps == [("toy pretrain", StageProgress(1, 2, 3))]
    assert recorder.epochs == [("toy pretrain", 1)]
    assert recorder.ended == {"toy pretrain"}
