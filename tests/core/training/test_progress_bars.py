import io
import re
import subprocess
import sys
import threading
import time
from itertools import pairwise

import pytest
from rich.console import Console

from amrbench.data.worker_pool import Progress
from amrbench.training import progress_bars
from amrbench.training.log import Epoch, RunningStage, StageProgress
from amrbench.training.progress_bars import Lines, Rich, duration, progress

STAGE = RunningStage("toy finetune, seed 1", 4, "span", "R1@0.7")


def epoch(number: int, seconds: float = 2.0) -> Epoch:
    val = {"second": {"R1@0.7": 50.0}, "span": {"R1@0.7": 12.5}}
    return Epoch(number, {"span-l1": 1.25, "giou": 0.5}, val, seconds, 300.0)


def data(done: int) -> Progress:
    return Progress("toy train: audio", done, 100)


def test_a_pipe_gets_one_line_an_epoch_with_losses_score_and_time_left():
    written = []
    lines = Lines(written.append)
    lines.epoch(STAGE, epoch(1))
    lines.epoch(STAGE, epoch(2, seconds=4.0))
    middle = "loss 1.75, val R1@0.7 12.50 (span-l1 1.25 giou 0.5)"
    assert written == [
        f"toy finetune, seed 1: epoch 1 of 4, {middle}, 2.0 s, 6 s left",
        f"toy finetune, seed 1: epoch 2 of 4, {middle}, 4.0 s, 6 s left",
    ]


def test_a_pipe_gets_a_few_lines_about_data():
    written = []
    lines = Lines(written.append)
    for done in range(101):
        lines.data(data(done))
    assert written == [f"toy train: audio: {done} of 100" for done in (0, 25, 50, 75, 100)]


def test_without_a_terminal_there_are_lines_and_no_colours():
    out = io.StringIO()
    with progress(Console(file=out, force_terminal=False, width=40)) as reporter:
        reporter.note("[bold] is not markup, and a long line is not broken into two")
    assert out.getvalue() == "[bold] is not markup, and a long line is not broken into two\n"


def test_a_terminal_gets_bars_and_keeps_a_line_for_each_finished_stage():
    out = io.StringIO()
    with progress(Console(file=out, force_terminal=True, width=120)) as reporter:
        assert isinstance(reporter, Rich)
        reporter.data(data(50))
        for number in (1, 2, 3, 4):
            reporter.epoch(STAGE, epoch(number))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "toy train: audio" in text
    assert "toy finetune, seed 1: 4 epochs, loss 1.75, val R1@0.7 12.50" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (75, "1:15 min"), (3599, "59:59 min"), (7260, "2:01 h")],
)
def test_times_are_short(seconds, text):
    assert duration(seconds) == text


def test_tables_and_progress_bars_need_no_torch():
    code = (
        "import sys, amrbench.evaluation.table, amrbench.evaluation.result;"
        "import amrbench.training.progress_bars, amrbench.training.log;"
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


# ---------------------------------------------------------------- long work


class Clock:
    """Lines with a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.written: list[tuple[float, str]] = []
        self.lines = Lines(self.write, clock=lambda: self.now)

    def write(self, text: str) -> None:
        self.written.append((self.now - 1000, text))

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.lines.sign_of_life()

    @property
    def times(self) -> list[float]:
        return [when for when, _ in self.written]


def test_a_long_epoch_is_reported_after_half_a_minute_and_then_seldom():
    clock = Clock()
    clock.lines.step(STAGE, StageProgress(1, 0, 0, "reading features"))
    clock.wait(40)
    for step in range(1, 400):
        clock.lines.step(STAGE, StageProgress(1, step, 400))
        clock.wait(8)
    assert clock.written[:3] == [
        (30, "toy finetune, seed 1: reading features, 30 s"),
        (90, "toy finetune, seed 1: epoch 1 of 4, step 7 of 400, 1:30 min, about 5:41 h left"),
        (210, "toy finetune, seed 1: epoch 1 of 4, step 22 of 400, 3:30 min, about 4:11 h left"),
    ]
    assert [later - earlier for earlier, later in pairwise(clock.times)] == [60, 120, 240, *[300] * 9]


def test_short_epochs_need_no_other_lines():
    clock = Clock()
    for number in (1, 2, 3):
        for step in range(20):
            clock.lines.step(STAGE, StageProgress(number, step, 20))
            clock.wait(1)
        clock.lines.epoch(STAGE, epoch(number))
    assert clock.times == [20, 40, 60]


def test_no_line_is_about_a_stage_that_has_ended():
    clock = Clock()
    clock.lines.step(STAGE, StageProgress(4, 20, 20, "validation"))
    clock.lines.end(STAGE)
    clock.wait(1000)
    assert clock.written == []


def test_stages_that_are_trained_at_the_same_time_share_a_line():
    clock = Clock()
    for number in range(5):
        stage = RunningStage(f"toy, seed {number}", 4, "span", "R1@0.7")
        clock.lines.step(stage, StageProgress(1, number, 20))
    clock.wait(30)
    assert clock.written == [
        (
            30,
            "toy, seed 0: epoch 1 of 4, step 0 of 20, 30 s; toy, seed 1: epoch 1 of 4, step 1 of 20, 30 s, "
            "about 39:30 min left; toy, seed 2: epoch 1 of 4, step 2 of 20, 30 s, about 19:30 min left; "
            "and 2 more",
        )
    ]


@pytest.mark.parametrize("kind", ["data", "scoring"])
def test_long_work_on_data_and_scores_is_reported_once_a_minute(kind):
    clock = Clock()
    report = getattr(clock.lines, kind)
    report(data(0))
    clock.wait(100)
    report(data(7))
    clock.wait(100)
    report(data(100))
    clock.wait(1000)
    expected = [(30, "toy train: audio: 0 of 100"), (90, "toy train: audio: 0 of 100")]
    expected.append((150, "toy train: audio: 7 of 100"))
    if kind == "data":  # The first and the last line of every piece of work.
        expected = [(0, expected[0][1]), *expected, (200, "toy train: audio: 100 of 100")]
    assert clock.written == expected


def test_work_without_parts_is_reported_if_it_takes_long():
    clock = Clock()
    clock.lines.data(Progress("toy train: joining the parts", 0, 0))
    clock.wait(95)
    clock.lines.step(STAGE, StageProgress(1, 1, 20))
    assert clock.written == [(30, "toy train: joining the parts"), (90, "toy train: joining the parts")]


def test_a_bar_of_work_without_parts_ends_with_the_next_report():
    with progress(Console(file=io.StringIO(), force_terminal=True, width=160)) as reporter:
        reporter.data(Progress("toy train: joining the parts", 0, 0))
        (joining,) = reporter.bars.tasks
        assert joining.visible
        assert joining.total is None
        reporter.data(data(3))
        assert [task.visible for task in reporter.bars.tasks] == [False, True]


def test_training_follows_data_that_never_was_finished():
    clock = Clock()
    clock.lines.data(Progress("toy: waiting for process 7, which makes it", 0, 1))
    clock.lines.step(STAGE, StageProgress(1, 1, 20))
    clock.wait(31)
    assert clock.written[-1][1].startswith("toy finetune, seed 1: epoch 1 of 4, step 1 of 20")


def test_lines_come_while_a_computation_runs(monkeypatch):
    monkeypatch.setattr(progress_bars, "FIRST_SILENCE", 0.2)
    out = io.StringIO()
    with progress(Console(file=out, force_terminal=False)) as reporter:
        reporter.step(STAGE, StageProgress(1, 1, 20))
        time.sleep(1.3)
    assert out.getvalue().startswith("toy finetune, seed 1: epoch 1 of 4, step 1 of 20, 1 s")
    assert not [thread for thread in threading.enumerate() if "repeat" in thread.name]


def test_a_bar_moves_by_steps_and_shows_what_is_done():
    out = io.StringIO()
    with progress(Console(file=out, force_terminal=True, width=160)) as reporter:
        reporter.step(STAGE, StageProgress(1, 0, 0, "reading features"))
        reporter.step(STAGE, StageProgress(2, 5, 20))
        reporter.bars.refresh()
        reporter.epoch(STAGE, epoch(2))
        reporter.step(STAGE, StageProgress(3, 20, 20, "validation"))
        reporter.bars.refresh()
        reporter.scoring(data(50))
        reporter.end(STAGE)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert re.search(r"toy finetune, seed 1 .* 25/80 epoch 2 of 4 ", text)
    assert re.search(r" 60/80 epoch 3 of 4, validation, loss 1.75, val R1@0.7 12.50 ", text)
