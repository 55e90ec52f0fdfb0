"""A short form of `python -m tests.chains`."""

import pytest

from tests.chains.__main__ import WAYS, outcomes


@pytest.mark.slow
def test_workers_and_processes_that_share_a_store_leave_the_same_files(tmp_path):
    found = list(outcomes(tmp_path, 2, [way for way in WAYS if way.needs == "torch"]))
    assert [(one.way, one.same) for one in found] == [
        ("one process", True),
        ("two workers", True),
        ("two processes with the same command", True),
    ]
