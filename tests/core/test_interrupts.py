import os
import signal
import subprocess
import sys
import threading

import pytest

from amrbench import interrupts
from amrbench.interrupts import (
    Interrupted,
    follow_parent,
    interrupted,
    refuse_to_go_on,
    stop_requested,
    stops_between_steps,
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request_and_the_second_acts(number):
    told, acted = [], []
    before = signal.signal(number, lambda *_: acted.append(number))
    try:
        with stops_between_steps(lambda: told.append("stopping")):
            assert not stop_requested()
            refuse_to_go_on("step 1")
            os.kill(os.getpid(), number)
            assert stop_requested()
            assert (told, acted) == (["stopping"], [])
            assert interrupted("step 2").number == number
            with pytest.raises(Interrupted) as stopped:
                refuse_to_go_on("step 2")
            assert stopped.value.at == "step 2"
            os.kill(os.getpid(), number)
            assert (told, acted) == (["stopping"], [number])
        assert not stop_requested(), "the request was for this work"
        os.kill(os.getpid(), number)
        assert acted == [number, number]
    finally:
        signal.signal(number, before)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stops_between_steps():
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop_requested()
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_leaves_signals_alone():
    handlers = []

    def work():
        with stops_between_steps():
            handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_a_worker_stops_when_its_parent_asks_it_to(monkeypatch):
    monkeypatch.setattr(interrupts, "_requests", interrupts._Requests())
    asked = []
    follow_parent(lambda: bool(asked))
    assert not stop_requested()
    asked.append(True)
    assert stop_requested()
    assert interrupted("x").number == 0


CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=sys.stdout)
sys.stdin.read()
"""
GRANDCHILD = """
import time
from amrbench import interrupts
interrupts.LOOK_SECONDS = 0.01
interrupts.stop_with_parent()
with interrupts.stops_between_steps():
    print("begun", flush=True)
    while not interrupts.stop_requested():
        time.sleep(0.01)
    print("saved", flush=True)
"""


def test_a_process_can_stop_with_its_parent():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", CHILD, GRANDCHILD], **pipes) as child:
        assert child.stdout.readline() == "begun\n"
        child.kill()
        assert child.stdout.readline() == "saved\n"
