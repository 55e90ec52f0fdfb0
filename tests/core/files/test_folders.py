from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from amrbench.errors import DataError
from amrbench.files.file_lock import exclusive
from amrbench.files.folders import CACHE_VARIABLE, cache_folder


def test_the_variable_chooses_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, "there")
    assert cache_folder() == tmp_path / "there"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, "~/mine")
    assert cache_folder() == tmp_path / "mine"


@pytest.mark.parametrize("value", [None, "", " "])
def test_without_it_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(CACHE_VARIABLE, value)
    assert cache_folder().name == "amrbench"
    assert cache_folder().is_absolute()


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


def test_a_held_lock_is_waited_for_and_its_holder_named(tmp_path: Path) -> None:
    process, pipe = holder(tmp_path / "a" / "x.lock")
    told: list[str] = []

    def waiting(name: str) -> None:
        told.append(name)
        pipe.send("let go")

    with exclusive(tmp_path / "a" / "x.lock", waiting):
        process.join(10)
        assert not process.is_alive()
    assert told == [str(process.pid)]


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    process, _ = holder(tmp_path / "x.lock")
    process.kill()
    process.join()
    began = time.monotonic()
    with exclusive(tmp_path / "x.lock", pytest.fail):
        pass
    assert time.monotonic() - began < 60


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(
            DataError, match=r"file/x.lock: cannot be written \(.*/file: File exists\). Choose another folder"
        ),
        exclusive(tmp_path / "file" / "x.lock", pytest.fail),
    ):
        pass
