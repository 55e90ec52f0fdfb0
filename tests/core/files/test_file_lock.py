from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from amrbench.errors import DataError
from amrbench.files.file_lock import exclusive


def _hold(path: Path, pipe: Any) -> None:
    with exclusive(path, lambda holder: None):
        pipe.send("held")
        pipe.recv()


def holder(path: Path) -> tuple[Any, Any]:
    context = multiprocessing.get_context("fork")
    mine, other = context.Pipe()
    process = context.Process(target=_hold, args=(path, other))
    process.start()
    assert mine.recv() == "held"
    return process, mine


def test_a_process_waits_for_a_held_lock_and_gets_the_id_of_its_holder(tmp_path: Path) -> None:
    process, pipe = holder(tmp_path / "a" / "x.lock")
    holders: list[str] = []

    def waiting(process_id: str) -> None:
        holders.append(process_id)
        pipe.send("release")

    with exclusive(tmp_path / "a" / "x.lock", waiting):
        process.join(10)
        assert not process.is_alive()
    assert holders == [str(process.pid)]


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    process, _ = holder(tmp_path / "x.lock")
    process.kill()
    process.join()
    start = time.monotonic()
    with exclusive(tmp_path / "x.lock", pytest.fail):
        pass
    assert time.monotonic() - start < 60


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(
            DataError, match=r"file/x.lock: cannot be written \(.*/file: File exists\). Choose another folder"
        ),
        exclusive(tmp_path / "file" / "x.lock", pytest.fail),
    ):
        pass
