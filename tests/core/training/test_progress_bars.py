import io
import re
import subprocess
import sys

import pytest
from rich.console import Console

from amrbench.data.worker_pool import Progress
from amrbench.training.log import Epoch, RunningStage
from amrbench.training.progress_bars import Lines, Rich, duration, progress

STAGE = RunningStage("toy finetune, seed 1", 4, "R1@0.7")


def epoch(number: int, seconds: float = 2.0) -> Epoch:
    return Epoch(number, {"span-l1": 1.25, "giou": 0.5}, {"R1@0.7": 12.5}, seconds, 300.0)


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
