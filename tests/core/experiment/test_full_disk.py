"""A run whose disk is full at any of its writes ends with the same files once there is room again."""

import errno
import os
from pathlib import Path

import pytest

from amrbench.errors import AmrbenchError
from amrbench.files import atomic
from tests.small_world.runs import run_in, what_runs_left


class FullDisk:
    """Lets one write fail; counts all."""

    def __init__(self, monkeypatch, at: int) -> None:
        self.at, self.writes = at, 0
        flush, opened, make = atomic._flush, Path.open, os.open

        def flushed(path):
            self.count(path)
            flush(path)

        def open_path(path, mode="r", *arguments, **options):
            if set(mode) & set("wax"):
                self.count(path)
            return opened(path, mode, *arguments, **options)

        def open_number(path, flags, *arguments, **options):
            if flags & os.O_CREAT:
                self.count(path)
            return make(path, flags, *arguments, **options)

        monkeypatch.setattr(atomic, "_flush", flushed)
        monkeypatch.setattr(Path, "open", open_path)
        monkeypatch.setattr(os, "open", open_number)

    def count(self, path) -> None:
        self.writes += 1
        if self.writes == self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def stopped_and_ended(folder, monkeypatch, at: int) -> bool:
    """Run with a disk that is full at a write, and again if that stopped it; return whether it did."""
    with monkeypatch.context() as patch:
        disk = FullDisk(patch, at)
        try:
            run_in(folder)
        except (AmrbenchError, OSError) as error:
            assert "No space left on device" in str(error)  # noqa: PT017  it need not fail
    run_in(folder)
    return disk.writes >= at


def ends_alike_whatever_write_fails(new_toy_folder, monkeypatch, step: int) -> None:
    whole = new_toy_folder()
    run_in(whole)
    expected, at = what_runs_left(whole), 1
    folder = new_toy_folder()
    while stopped_and_ended(folder, monkeypatch, at):
        assert what_runs_left(folder) == expected, f"write {at}"
        at, folder = at + step, new_toy_folder()
    assert at > 40, "the writes of a run were counted"


def test_a_run_ends_alike_after_a_full_disk(new_toy_folder, monkeypatch):
    ends_alike_whatever_write_fails(new_toy_folder, monkeypatch, step=9)


@pytest.mark.slow
def test_a_run_ends_alike_after_a_full_disk_at_any_write(new_toy_folder, monkeypatch):
    ends_alike_whatever_write_fails(new_toy_folder, monkeypatch, step=1)
