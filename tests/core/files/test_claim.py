from __future__ import annotations

import errno
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from amrbench.errors import DataError
from amrbench.files import claim
from amrbench.files.claim import Claim, claimed, exclusive
from amrbench.files.owner import Owner, number_space, this_process


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


def test_a_full_disk_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("amrbench.files.claim.json.dumps", full)  # Where the file is open, and has no name.
    path = tmp_path / "x.lock"
    with pytest.raises(DataError) as error, exclusive(path, pytest.fail):
        pass
    assert str(error.value) == (
        f"{path}: cannot be written ({path}: No space left on device). Choose another folder."
    )
    assert not path.exists()


def write_claim(path: Path, owner: Owner, age: float = 0.0) -> None:
    path.write_text(json.dumps(asdict(owner)))
    then = time.time() - age
    os.utime(path, (then, then))


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that lets time pass by the clock that never jumps, and by no other."""
    passed = [0.0]
    monkeypatch.setattr(claim.time, "monotonic", lambda: passed[0])

    def let_pass(seconds: float) -> None:
        passed[0] += seconds

    return let_pass


OTHER = Owner("another-host", 7, "0123456789")
HERE = number_space()


@pytest.mark.parametrize(
    ("owner", "age", "waited", "free"),
    [
        (OTHER, 30.0, 26.0, False),
        (OTHER, 61.0, 24.0, False),
        (OTHER, 61.0, 26.0, True),
        (OTHER, -3600.0, 59.0, False),
        (OTHER, -3600.0, 61.0, True),
        (Owner(this_process().host, os.getppid(), HERE), 30.0, 26.0, False),
        (Owner(this_process().host, os.getppid(), HERE), 61.0, 26.0, True),
        (Owner(this_process().host, 2**22 + 1, HERE), 0.0, 0.0, True),
        (Owner("another-host", os.getpid(), "0123456789"), 0.0, 0.0, False),
        (Owner(this_process().host, os.getpid(), "0123456789"), 0.0, 0.0, False),
        (Owner(this_process().host, 2**22 + 1, "0123456789"), 0.0, 0.0, False),
        (None, 0.0, 0.0, True),
    ],
    ids=[
        "other-host",
        "other-host-late-or-a-clock-that-was-set-forward",
        "other-host-late",
        "clock-that-was-set-back",
        "clock-that-was-set-back-late",
        "alive",
        "alive-late",
        "ended",
        "other-host-same-number",
        "other-container-same-number",
        "other-container-number-that-is-free-here",
        "same-number-as-an-earlier-process",
    ],
)
def test_a_claim_is_void_after_a_minute_or_if_its_process_has_ended(
    tmp_path: Path,
    wait: Callable[[float], None],
    owner: Owner | None,
    age: float,
    waited: float,
    free: bool,
) -> None:
    path = tmp_path / "x.claim"
    write_claim(path, owner or this_process(), age)
    Claim(path).is_free()
    wait(waited)
    assert Claim(path).is_free() is free
    with claimed(path) as held:
        assert (held is not None) is free
        assert Claim(path).owner() == (this_process() if free else owner)
        assert not Claim(path).is_free()
    assert path.exists() is not free
    assert {file.name for file in tmp_path.iterdir()} <= {"x.claim"}


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_claim_that_is_renewed_stays_held_when_clocks_jump(
    tmp_path: Path, wait: Callable[[float], None], jump: float
) -> None:
    path = tmp_path / "x.claim"
    for renewal in range(20):
        write_claim(path, OTHER, age=-10.0 * renewal)
        wait(10.0)
        assert not Claim(path).is_free()
    for renewal in range(20):
        write_claim(path, OTHER, age=jump - 10.0 * renewal)
        wait(10.0)
        assert not Claim(path).is_free()


def test_a_damaged_claim_is_void_after_a_minute(tmp_path: Path, wait: Callable[[float], None]) -> None:
    path = tmp_path / "x.claim"
    path.write_text("{")
    os.utime(path, (0, 0))
    assert not Claim(path).is_free()
    wait(26.0)
    assert Claim(path).is_free()


def test_the_age_of_a_claim_is_the_time_since_it_was_renewed(tmp_path: Path) -> None:
    path = tmp_path / "x.claim"
    assert Claim(path).age() == 0
    write_claim(path, OTHER)
    now = path.stat().st_mtime
    os.utime(path, (now - 90, now - 90))
    assert 89 < Claim(path).age() < 120
    assert [file.name for file in tmp_path.iterdir()] == ["x.claim"]


def test_a_claim_is_renewed_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "RENEW_SECONDS", 0.01)
    path = tmp_path / "x.claim"
    with claimed(path):
        os.utime(path, (0, 0))
        until = time.monotonic() + 30
        while path.stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_a_claim_that_was_taken_over_is_no_longer_held_and_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "x.claim"
    with claimed(path) as held:
        assert held
        assert held.is_held()
        write_claim(path, OTHER)
        assert not held.is_held()
    assert Claim(path).owner() == OTHER


def test_a_claim_that_another_process_has_just_replaced_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.claim"
    write_claim(path, Owner("gone", 1))

    def void(own: Claim, owner: Owner | None) -> bool:
        write_claim(path, OTHER)
        return True

    monkeypatch.setattr(Claim, "_is_void", void)
    assert not Claim(path).take()
    assert Claim(path).owner() == OTHER
