import json
import os
import subprocess
import sys
import time
from dataclasses import asdict

import pytest

from amrbench.errors import DataError
from amrbench.files.claim import VOID_SECONDS, Claim, claimed
from amrbench.files.owner import Owner, number_space, this_process
from amrbench.tools.stored_items import SETTLE_SECONDS, Claims, StoredItem, entries, size_of, size_text


def ended():
    """Return a process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return Owner(this_process().host, process.pid, number_space())


def written(path, owner, age=0.0):
    path.write_text(json.dumps(asdict(owner)))
    os.utime(path, (time.time() - age,) * 2)
    return path


# ---------------------------------------------------------------- claims


def test_a_claim_is_held_by_a_process_that_renews_it(tmp_path):
    path = tmp_path / "a.claim"
    with claimed(path):
        claims = Claims([path])
        assert claims.held == {path: str(os.getpid())}
        assert claims.holder(path) == claims.busy == str(os.getpid())
        assert claims.holder(tmp_path / "b.claim") == ""
        assert claims.holder(tmp_path / "b.claim", this_process().label) == str(os.getpid())


def test_a_claim_of_a_process_that_has_ended_is_not_held(tmp_path):
    claims = Claims([written(tmp_path / "a.claim", ended())])
    assert (claims.held, claims.busy, claims.doubtful) == ({}, "", [])


def test_a_process_that_is_alive_holds_its_folder_without_a_claim(tmp_path):
    assert Claims([]).holder(tmp_path / "a.claim", this_process().label) == str(os.getpid())
    assert Claims([]).holder(tmp_path / "a.claim", ended().label) == ""
    assert Claims([]).holder(tmp_path / "a.claim", "another-machine-7") == ""


def test_a_claim_of_another_machine_is_held_if_it_was_renewed_within_a_minute(tmp_path):
    path = written(tmp_path / "a.claim", Owner("gpu4", 7, "other"), age=VOID_SECONDS / 2)
    assert Claims([path]).held == {path: "7 on gpu4"}


@pytest.mark.parametrize("renewed", [False, True])
def test_an_old_claim_of_another_machine_is_doubtful_for_a_while(tmp_path, monkeypatch, renewed):
    path = written(tmp_path / "a.claim", Owner("gpu4", 7, "other"), age=2 * VOID_SECONDS)
    claims = Claims([path])
    assert claims.held == {}
    assert [claim.path for claim in claims.doubtful] == [path]
    now = time.monotonic()
    monkeypatch.setattr("amrbench.files.claim.time.monotonic", lambda: now + SETTLE_SECONDS)
    if renewed:
        os.utime(path)
    claims = Claims([path])
    assert claims.held == ({path: "7 on gpu4"} if renewed else {})
    assert claims.doubtful == []


# ---------------------------------------------------------------- sizes and removal


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"12345")
    (tmp_path / "a" / "b" / "two").write_bytes(b"123")
    assert size_of(tmp_path / "a") == 8
    assert size_of(tmp_path / "a" / "one") == 5
    assert size_of(tmp_path / "none") == 0
    assert [size_text(size) for size in (0, 2**19, 3 * 2**30)] == ["0.0 MiB", "0.5 MiB", "3.0 GiB"]


def test_links_are_not_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "big").write_bytes(b"0" * 10_000)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert size_of(tmp_path / "link") < 10_000
    StoredItem("stage", tmp_path / "link", tmp_path / "link.claim", "", 0).remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real"]
    assert (tmp_path / "real" / "big").exists()


def item(path):
    return StoredItem("stage", path, path.with_name(f"{path.name}.claim"), "", 0)


def test_folders_and_files_are_removed_and_no_claim_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "file").touch()
    for name in ("folder", "file"):
        item(tmp_path / name).remove()
    assert list(tmp_path.iterdir()) == []


def test_a_void_claim_is_removed(tmp_path):
    path = written(tmp_path / "a.claim", ended())
    StoredItem("leftover", path, path, "", 0).remove()
    assert list(tmp_path.iterdir()) == []


def test_what_another_process_has_just_claimed_is_not_removed(tmp_path):
    (tmp_path / "a").mkdir()
    written(tmp_path / "a.claim", Owner("gpu4", 7, "other"))
    with pytest.raises(DataError) as refused:
        item(tmp_path / "a").remove()
    assert str(refused.value) == (
        f"{tmp_path / 'a'}: process 7 on gpu4 has just begun to use it. Give the same command again."
    )
    assert (tmp_path / "a").is_dir()


def test_what_cannot_be_removed_is_named(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("amrbench.tools.stored_items.shutil.rmtree", refuse)
    text = rf"{tmp_path / 'a'}: cannot be removed \(Permission denied\). Let this user write there."
    with pytest.raises(DataError, match=text):
        item(tmp_path / "a").remove()
    assert Claim(tmp_path / "a.claim").is_free()


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    assert entries(tmp_path / "none") == []

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(DataError, match="cannot be read .Permission denied.. Let this user read it"):
        entries(tmp_path)
