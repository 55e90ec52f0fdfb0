import signal
import sys

import pytest

from amrbench_plugins.executors import command
from amrbench_plugins.executors.command import start
from amrbench_plugins.executors.slurm import PreemptedStage, SlurmJob, Submitit
from tests.small_world.runs import killed_once


def test_slots_are_the_jobs():
    assert Submitit().build(None).slots() == 1000
    assert Submitit().build(7).slots() == 7


class FakeJob:
    def __init__(self, result=None, error=None, done=True):
        self.done, self.result, self.exception = (lambda: done), (lambda: result), (lambda: error)


@pytest.mark.parametrize(
    ("job", "code"),
    [(FakeJob(done=False), None), (FakeJob(0), 0), (FakeJob(2), 2), (FakeJob(error=OSError()), -1)],
)
def test_the_code_of_a_job(job, code):
    assert SlurmJob(job).poll() == code


def test_jobs_of_submitit_have_the_same_metrics(same_with):
    pytest.importorskip("submitit")
    same_with({"use": "submitit", "cluster": "local"}, jobs=2)


def test_a_killed_command_is_submitted_again(run_toy, tmp_path):
    pytest.importorskip("submitit")
    (tmp_path / "killed").mkdir()
    recipe = killed_once(tmp_path / "killed", after=2)
    _, recorder = run_toy("killed", {"use": "submitit", "cluster": "local"}, recipe, jobs=2, seeds=1)
    assert any("its process was killed with SIGKILL at epoch 1, " in text for text in recorder.notes)


def test_a_preempted_command_saves_and_is_queued_again(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    code = "import time; print('begun', flush=True); time.sleep(60)"
    task = tmp_path / "task.json"
    monkeypatch.setattr(command, "command_of", lambda task: [sys.executable, "-S", "-c", code])
    running = PreemptedStage(task)
    running.process = start(task)
    again = running.checkpoint().function
    assert running.process.poll() == -signal.SIGTERM
    assert again.task == task
    assert again.process is None
