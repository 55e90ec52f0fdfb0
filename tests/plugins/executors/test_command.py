import signal
import sys
import threading
import time

import pytest

from amrbench.slots.executors import log_of
from amrbench_plugins.executors import command
from amrbench_plugins.executors.command import TaskCommand, start

SAVES = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("saved") or 7))
print("begun", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(command, "POLL_SECONDS", 0.01)


@pytest.fixture
def task_of(tmp_path, monkeypatch):
    """Return a function that makes a task with other code than that of amrbench."""

    def make(code):
        monkeypatch.setattr(command, "command_of", lambda task: [sys.executable, "-S", "-c", code])
        return tmp_path / "task.json"

    return make


def wait_for(task, text):
    until = time.monotonic() + 30
    while not (log_of(task).exists() and text in log_of(task).read_text()):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_it_returns_the_exit_code_and_keeps_what_is_shown(task_of):
    task = task_of("import sys; print('out'); print('err', file=sys.stderr); sys.exit(5)")
    assert TaskCommand(task)() == 5
    assert sorted(log_of(task).read_text().split()) == ["err", "out"]


def test_what_interrupts_the_wait_lets_the_command_save(task_of):
    task = task_of(SAVES)
    running = TaskCommand(task)

    def interrupt():
        wait_for(task, "begun")
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        running()
    thread.join()
    assert running.process.returncode == 7
    assert "saved" in log_of(task).read_text()


def test_a_command_that_does_not_end_is_killed(task_of, monkeypatch):
    monkeypatch.setattr(command, "SAVE_SECONDS", 0.05)
    task = task_of(SAVES.replace("sys.exit(", "(").replace(" or 7", ""))
    running = TaskCommand(task)
    running.stop()  # Not begun yet: nothing to stop.
    running.process = start(task)
    wait_for(task, "begun")
    running.stop()
    assert running.process.wait() == -signal.SIGKILL
