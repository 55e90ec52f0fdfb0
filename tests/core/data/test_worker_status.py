import os

import pytest

from amrbench.data import worker_status
from amrbench.data.worker_status import (
    StatusWriter,
    WorkerStatus,
    read_statuses,
    report_part,
    report_status,
)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (WorkerStatus("toy train: audio"), "toy train: audio"),
        (WorkerStatus("toy train: audio", "recording 'a'", done=3), "toy train: audio, recording 'a'"),
    ],
)
def test_a_status_is_a_short_text(status, text):
    assert status.text() == text


def test_the_last_status_of_each_process_is_read(tmp_path):
    writer = StatusWriter(tmp_path)
    for status in (WorkerStatus("toy", "recording"), WorkerStatus("toy", "sentence", done=3)):
        writer.write(status)
        assert read_statuses(tmp_path) == {os.getpid(): status}


def test_damaged_and_other_files_are_passed_over(tmp_path):
    (tmp_path / "12").write_text('{"task": "to')
    (tmp_path / "13").write_text("{}")
    (tmp_path / "13.part").write_text("{}")
    (tmp_path / "13.crash").write_text("")
    assert read_statuses(tmp_path) == {13: WorkerStatus()}
    assert read_statuses(tmp_path / "removed") == {}


def test_outside_of_a_worker_nothing_is_reported(monkeypatch):
    monkeypatch.setattr(worker_status, "_writer", None)
    report_status(WorkerStatus("toy"))
    report_part("recording 1", 0)


def test_a_part_of_a_task_keeps_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_status, "_writer", StatusWriter(tmp_path))
    report_status(WorkerStatus("toy"))
    report_part("recording 1", 4)
    assert read_statuses(tmp_path) == {os.getpid(): WorkerStatus("toy", "recording 1", done=4)}
