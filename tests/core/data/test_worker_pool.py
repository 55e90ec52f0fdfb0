import os
import time
from itertools import pairwise
from pathlib import Path

import pytest

from amrbench.data.worker_pool import Progress, on_wait, run_tasks, worker_pool
from amrbench.errors import DataError, RunError


def double(number: int) -> int:
    return 2 * number


def die(number: int) -> int:
    os._exit(9)


def touch(path: Path) -> int:
    """Fail for the first path, touch all others."""
    if path.name == "0":
        raise DataError("broken")
    time.sleep(0.05)
    path.touch()
    return 1


def threads(_: object) -> int:
    return int(os.environ["OMP_NUM_THREADS"])


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


def test_a_killed_worker_is_explained():
    with pytest.raises(RunError) as error, worker_pool(1, "counts") as pool:
        run_tasks(pool, die, [1], progress=Progress("x", 0, 1), report=lambda _: None)
    assert str(error.value) == (
        "a worker process that counts was killed; is memory short? What is finished is kept: give the same "
        "command again, with a smaller --jobs if memory was short. In a script of your own, put the call "
        "under `if __name__ == '__main__':`, because workers import the script."
    )


def test_workers_have_one_thread_and_the_parent_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with worker_pool(1, "counts") as pool:
        assert list(pool.map(threads, [None])) == [1]
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert "MKL_NUM_THREADS" not in os.environ


def test_waiting_is_reported_with_the_process():
    reports = []
    on_wait(reports.append, "toy train")("123")
    assert reports == [Progress("toy train: waiting for process 123, which makes it", 0, 1)]
