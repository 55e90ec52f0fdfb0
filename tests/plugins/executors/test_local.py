import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from amrbench.evaluation.result import read_result
from amrbench.interrupts import stop_requested
from amrbench.slots.executors import Task
from amrbench_plugins.executors.local import Local
from tests.folders import ROOT
from tests.small_world.runs import same_bits


def test_stages_in_worker_processes_have_the_same_metrics(same_with):
    same_with({"use": "local"}, jobs=2)


# ---------------------------------------------------------------- the workers, without training


@dataclass(frozen=True)
class Work:
    """Something to do in a worker in the place of a training, when a file appears."""

    folder: Path
    name: str
    code: int | None = 0

    def __call__(self):
        (self.folder / f"{self.name}.{os.getpid()}").touch()
        if self.code is None:
            while not stop_requested():
                time.sleep(0.01)
            return 130
        return self.code if self.code >= 0 else os.kill(os.getpid(), -self.code)

    @property
    def task(self):
        return Task(self.name, self.folder / f"{self.name}.json", "cpu", 1, self)

    @property
    def process(self):
        """Return the process that has begun with it; None before."""
        return next((int(file.suffix[1:]) for file in self.folder.glob(f"{self.name}.*")), None)


def until(ready, seconds=60):
    """Return the first result of a function that is not None."""
    end = time.monotonic() + seconds
    while (result := ready()) is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    return result


@pytest.fixture
def work(tmp_path):
    return partial(Work, tmp_path)


def test_a_worker_does_one_task_after_another_and_a_dead_one_is_replaced(work):
    executor = Local().build(1)
    assert executor.slots() == 1
    codes, processes = [], []
    for number, code in enumerate((0, 2, -signal.SIGKILL, 0)):
        one = work(f"task{number}", code)
        (job,) = executor.submit([one.task])
        codes.append(until(job.poll))
        processes.append(one.process)
    assert codes == [0, 2, -9, 0]
    assert processes[0] == processes[1] == processes[2] != processes[3]


def test_a_worker_that_is_asked_to_stop_ends_its_task_first_and_a_second_call_kills_it(work):
    executor = Local().build(2)
    works = [work("asked", None), work("killed", None)]
    jobs = executor.submit([one.task for one in works])
    for one, job in zip(works, jobs, strict=True):
        until(lambda one=one, job=job: job.poll() or one.process)
        job.terminate()
    jobs[1].terminate()
    assert until(jobs[0].poll) == 130
    assert until(jobs[1].poll) in (130, -signal.SIGKILL)
    jobs[0].terminate()  # Nothing to end any more.


def test_a_worker_that_has_not_begun_is_killed(work):
    executor = Local().build(1)
    (job,) = executor.submit([work("early").task])
    job.terminate()
    assert until(job.poll) == -signal.SIGKILL


def test_workers_end_with_their_executor(work):
    executor = Local().build(1)
    (job,) = executor.submit([work("task").task])
    until(job.poll)
    process = job.worker.process
    del executor, job
    process.join(60)
    assert process.exitcode == 0


PATHS = os.environ | {"PYTHONPATH": str(ROOT)}
PARENT = """
import sys, time
from pathlib import Path
from amrbench_plugins.executors.local import Local
from tests.plugins.executors.test_local import Work

if __name__ == "__main__":
    executor = Local().build(1)
    (job,) = executor.submit([Work(Path(sys.argv[1]), "task", None).task])
    while True:
        job.poll()
        time.sleep(0.01)
"""


def test_a_worker_saves_and_ends_when_its_parent_is_killed(work, tmp_path):
    one = work("task", None)
    (script := tmp_path / "script.py").write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, script, tmp_path], env=os.environ | {"PYTHONPATH": os.getcwd()}
    ) as parent:
        process = until(lambda: one.process)
        parent.kill()
    until(lambda: True if has_ended(process) else None)


def has_ended(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"


NO_GUARD = """
import sys, time
from pathlib import Path
from amrbench_plugins.executors.local import Local
from tests.plugins.executors.test_local import Work

executor = Local().build(1)
(job,) = executor.submit([Work(Path(sys.argv[1]), "task").task])
while job.poll() is None:
    time.sleep(0.01)
"""


def test_a_worker_that_fails_at_its_start_may_lack_the_main_guard(tmp_path):
    (script := tmp_path / "script.py").write_text(NO_GUARD)
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        env=PATHS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "amrbench.errors.RunError: a worker process that trains ended itself at its start. What is finished "
        "is kept: give the same command again. In a script of your own, put the call under `if __name__ == "
        "'__main__':`, because workers import the script."
    )


# ---------------------------------------------------------------- several commands


def test_two_processes_with_the_same_command_share_the_work(run_toy, tmp_path):
    plain, _ = run_toy("plain")
    (folder := tmp_path / "shared").mkdir()
    for name in ("toy.yaml", "tiny.yaml"):
        (folder / name).write_bytes((tmp_path / "plain" / name).read_bytes())
    options = ["--protocol", "tiny.yaml", "--jobs", "1", "--without", "soups"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "amrbench", "run", "toy.yaml", *options],
            cwd=folder,
            env=os.environ | {"AMRBENCH_CACHE": str(folder / "cache")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    messages = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], messages
    assert same_bits(tmp_path / "plain", folder)
    (done,) = (folder / "runs").iterdir()
    assert done.name == plain.folder.name
    assert read_result(done).rows == plain.result.rows
