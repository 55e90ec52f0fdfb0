import os
import signal
import subprocess
import sys

import pytest

from amrbench.data.worker_process import THREADS, crash_location, ending, ignore_ctrl_c, one_thread


def test_what_is_started_has_one_thread_and_this_process_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with one_thread():
        assert {os.environ[name] for name in THREADS} == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert "MKL_NUM_THREADS" not in os.environ


def test_ctrl_c_is_left_to_the_parent():
    before = signal.getsignal(signal.SIGINT)
    try:
        ignore_ctrl_c()
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


MEMORY = "The system does so if memory is short, and batch systems do at their limits."
CODE = "A part or a library that runs there calls os._exit, or a connection was lost."
FAULT = (
    "The fault is in compiled code of a library or part that runs there; update it, or leave out what it "
    "fails on."
)


@pytest.mark.parametrize(
    ("code", "location", "how", "why"),
    [
        (-9, "", "was killed with SIGKILL", MEMORY),
        (-63, "", "was killed with signal 63", MEMORY),
        (-11, "part.py:12", "crashed (part.py:12) with SIGSEGV", FAULT),
        (-11, "", "crashed with SIGSEGV", FAULT),
        (3, "", "ended itself with exit code 3", CODE),
        (255, "", "ended itself with exit code 255", CODE),
        (143, "", "was stopped with SIGTERM", "People and batch systems do so."),
    ],
)
def test_how_a_process_ended_is_said_in_words(code, location, how, why):
    assert ending(code, location) == (how, why)
    assert code != -63 or code not in set(signal.Signals)


def test_the_line_of_a_crash_is_the_innermost_one_of_the_last_crash(tmp_path):
    first, second = (
        "Fatal Python error: Segmentation fault\n\nCurrent thread 0x0 (most recent call first):\n"
        f'  File "/a b/part.py", line {line} in forward\n  File "/other.py", line 3 in call\n'
        for line in (11, 12)
    )
    (file := tmp_path / "task.log").write_text(f"{first}other text\n{second}")
    assert crash_location(file) == "/a b/part.py:12"
    file.write_text("other text")
    assert crash_location(file) == crash_location(tmp_path / "none") == ""


def test_what_faulthandler_writes_is_read(tmp_path):
    code = "import faulthandler, os\nfaulthandler.enable()\nos.kill(os.getpid(), 11)"
    with (file := tmp_path / "task.log").open("w") as log:
        assert subprocess.run([sys.executable, "-c", code], stderr=log, check=False).returncode == -11
    assert crash_location(file) == "<string>:3"
