import signal
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from amrbench.errors import RunError
from amrbench.slots.executors import Task
from amrbench_plugins.executors import command
from amrbench_plugins.executors.command import start
from amrbench_plugins.executors.slurm import PreemptedTask, SlurmJob, Submitit
from tests.small_world.runs import killed_once


def test_slots_are_the_jobs(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace())
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


class FakeExecutor:
    """Fails as submitit does: where there is no SLURM, or when it refuses the jobs."""

    def __init__(self, at, error):
        self.at, self.error = at, error

    def __call__(self, **options):
        return self.fail("construction")

    def update_parameters(self, **options):
        pass

    def batch(self):
        return nullcontext()

    def submit(self, job):
        return self.fail("submission")

    def fail(self, now):
        if self.at == now:
            raise self.error
        return self


@pytest.mark.parametrize(
    ("at", "error", "reason"),
    [
        (
            "construction",
            RuntimeError('Could not detect "srun", are you indeed on a slurm cluster?'),
            'Could not detect "srun", are you indeed on a slurm cluster?',
        ),
        (
            "submission",
            RuntimeError("sbatch: error: invalid partition specified: gpux\nsbatch: error: it failed"),
            "sbatch: error: invalid partition specified: gpux sbatch: error: it failed",
        ),
        (
            "submission",
            FileNotFoundError(2, "No such file or directory", "sbatch"),
            "[Errno 2] No such file or directory: 'sbatch'",
        ),
    ],
)
def test_what_slurm_refuses_is_named_with_the_options(tmp_path, monkeypatch, at, error, reason):
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=FakeExecutor(at, error)))
    task = Task("one", tmp_path / "task.json", "cpu", 1, lambda: 0)
    with pytest.raises(RunError) as refused:
        Submitit(partition="gpux").build(2).submit([task])
    assert str(refused.value) == (
        "the executor submitit cannot submit jobs with partition 'gpux', minutes 1440, gpus 1, memory 16, "
        f"cluster 'slurm' ({reason}). Give the command on a machine that has srun and sbatch, and options "
        "that SLURM allows there: 'sinfo' lists partitions and limits. '{use: submitit, cluster: local}' "
        "needs no SLURM."
    )


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
    running = PreemptedTask(task)
    running.process = start(task)
    again = running.checkpoint().function
    assert running.process.poll() == -signal.SIGTERM
    assert again.task == task
    assert again.process is None
