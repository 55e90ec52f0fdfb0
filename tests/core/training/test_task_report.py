import pytest

from amrbench.slots.executors import LOST, Task
from amrbench.training.task_report import TaskReport, how_lost, remove_files


@pytest.fixture
def task(tmp_path):
    (file := tmp_path / "key.json").touch()
    return Task("toy, seed 1", file, "cpu", 1, int)


def test_a_damaged_report_says_nothing(task):
    assert TaskReport.read(task.file) == TaskReport()
    TaskReport.file_of(task.file).write_text("{")
    assert TaskReport.read(task.file) == TaskReport()
    TaskReport(error="wrong").write(task.file)
    assert TaskReport.read(task.file).error == "wrong"


@pytest.mark.parametrize(
    ("trained", "text", "left"), [(True, "text", []), (False, "", []), (False, "text", ["key.log"])]
)
def test_a_log_that_says_something_is_kept_if_the_stage_was_not_trained(task, trained, text, left):
    task.log.write_text(text)
    TaskReport().write(task.file)
    remove_files(task.file, trained=trained)
    assert [file.name for file in task.file.parent.iterdir()] == left
    remove_files(task.file, trained=trained)


KEPT = "What is finished is kept: give the same command again"
MORE = ", with a smaller --jobs, or with more memory or time for a job"


@pytest.mark.parametrize(
    ("code", "where", "how", "remedy"),
    [
        (
            -9,
            "epoch 2, after step 5 of 69",
            "was killed with SIGKILL at epoch 2, after step 5 of 69",
            f"The system does so if memory is short, and batch systems do at their limits. {KEPT}{MORE}.",
        ),
        (
            143,
            "validation",
            "was stopped with SIGTERM at validation",
            f"People and batch systems do so. {KEPT}{MORE}.",
        ),
        (LOST, "", "was lost with its machine before the stage began", f"{KEPT}{MORE}."),
        (0, "", "ended too early before the stage began", f"{KEPT}."),
        (
            -11,
            "epoch 1, after step 1 of 3",
            "crashed (/part.py:12) with SIGSEGV at epoch 1, after step 1 of 3",
            "The fault is in compiled code of a library or part that runs there; update it, or leave out "
            f"what it fails on. {KEPT}.",
        ),
    ],
)
def test_how_a_task_was_lost_is_said_in_words(task, code, where, how, remedy):
    task.log.write_text('Stack (most recent call first):\n  File "/part.py", line 12 in forward\n')
    assert how_lost(task, code, where) == (f"toy, seed 1: its process {how}", remedy)
