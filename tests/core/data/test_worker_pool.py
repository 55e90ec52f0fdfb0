import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from amrbench.data.worker_pool import Progress, on_wait, run_tasks, worker_pool
from amrbench.data.worker_status import report_part
from amrbench.errors import DataError, RunError


def double(number: int) -> int:
    return 2 * number


def ends(how: str) -> int:
    report_part("recording 'a'", 0)
    number = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "crash": signal.SIGSEGV}.get(how)
    os._exit(9) if number is None else os.kill(os.getpid(), number)
    return 1


def ask(numbers: int) -> int:
    return len(np.empty(numbers))


def slow(parts: int) -> int:
    """Do three parts, then wait longer than the parent looks away."""
    report_part("part", parts - 1)
    time.sleep(2.5)
    return parts


def touch(path: Path) -> int:
    """Fail for the first path, touch all others."""
    if path.name == "0":
        raise DataError("broken")
    time.sleep(0.05)
    path.touch()
    return 1


def test_progress_grows_by_what_the_tasks_return():
    reports = []
    with worker_pool(2, "counts") as pool:
        run_tasks(pool, double, [1, 2, 3], progress=Progress("x", 5, 17), report=reports.append)
    assert reports[0] == Progress("x", 5, 17)
    assert reports[-1] == Progress("x", 17, 17)
    assert sorted(after.done - before.done for before, after in pairwise(reports)) == [2, 4, 6]


def test_the_first_error_cancels_what_has_not_begun(tmp_path):
    paths = [tmp_path / str(number) for number in range(100)]
    with worker_pool(1, "touches") as pool, pytest.raises(DataError, match="broken"):
        run_tasks(pool, touch, paths, progress=Progress("x", 0, 100), report=lambda _: None)
    assert len(list(tmp_path.iterdir())) < 50


def wait_and_touch(path: Path) -> int:
    path.with_suffix(".begun").touch()
    time.sleep(5)
    path.touch()
    return 1


def interrupt_a_task(path: Path) -> None:
    with worker_pool(1, "waits") as pool:
        pool.submit(wait_and_touch, path)
        while not path.with_suffix(".begun").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt


def test_tasks_end_when_the_command_is_interrupted(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupt_a_task(tmp_path / "task")
    assert not (tmp_path / "task").exists()


KEPT = "What is finished is kept: give the same command again"


@pytest.mark.parametrize(
    ("task", "jobs", "message"),
    [
        (
            "end",
            1,
            "ended itself with exit code 9 at x, recording 'a'. A part or a library that runs there calls "
            f"os._exit, or a connection was lost. {KEPT}.",
        ),
        (
            "kill",
            2,
            "was killed with SIGKILL at x, recording 'a'. The system does so if memory is short, and batch "
            f"systems do at their limits. {KEPT}, with a smaller --jobs than 2 if memory was short.",
        ),
        (
            "terminate",
            1,
            "was killed with SIGTERM at x, recording 'a'. The system does so if memory is short, and batch "
            f"systems do at their limits. {KEPT}, after ending other programs if memory was short.",
        ),
        (
            "crash",
            1,
            f"crashed ({__file__}:LINE) with SIGSEGV at x, recording 'a'. The fault is in compiled code of a "
            f"library or part that runs there; update it, or leave out what it fails on. {KEPT}.",
        ),
    ],
)
def test_a_worker_that_ends_is_explained_with_what_it_did(task, jobs, message):
    with pytest.raises(RunError) as error, worker_pool(jobs, "counts") as pool:
        run_tasks(pool, ends, [task], progress=Progress("x", 0, 1), report=lambda _: None)
    line = ends.__code__.co_firstlineno + 3
    assert str(error.value) == f"a worker process that counts {message.replace('LINE', str(line))}"


def test_a_worker_that_fails_at_its_start_may_lack_the_main_guard():
    with pytest.raises(RunError) as error, worker_pool(1, "counts") as pool:
        pool.submit(os._exit, 1).result()
    assert str(error.value).endswith(
        "In a script of your own, put the call under `if __name__ == '__main__':`, because workers import "
        "the script."
    )


def test_short_memory_in_a_worker_names_the_task():
    with pytest.raises(RunError) as error, worker_pool(1, "counts") as pool:
        run_tasks(pool, ask, [2**40], progress=Progress("x", 0, 1), report=lambda _: None)
    assert str(error.value) == (
        "x: out of memory: 8.00 TiB could not be had. Give the same command with a smaller --jobs, or end "
        "other programs; what is finished is kept."
    )


def test_progress_counts_the_parts_of_tasks_that_run():
    reports = []
    with worker_pool(1, "counts") as pool:
        run_tasks(pool, slow, [4], progress=Progress("x", 0, 4), report=reports.append)
    assert [progress.done for progress in reports] == [0, 3, 4]


def threads(_: object) -> int:
    return int(os.environ["OMP_NUM_THREADS"])


def test_workers_have_one_thread():
    with worker_pool(1, "counts") as pool:
        assert list(pool.map(threads, [None])) == [1]


def test_waiting_is_reported_with_the_process():
    reports = []
    on_wait(reports.append, "toy train")("123")
    assert reports == [Progress("toy train: waiting for process 123, which makes it", 0, 1)]
