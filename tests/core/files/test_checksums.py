import shutil
import subprocess
from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.checksums import (
    changed_files,
    has_checksums,
    is_set_aside,
    refuse_changed,
    set_aside_changed,
    write_checksums,
)
from tests.small_world.permissions import with_mode

FILES = {"a.jsonl": b'{"a": 1}\n', "below/b c.bin": bytes(range(256)), "empty": b""}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert not has_checksums(tmp_path)
    assert changed_files(tmp_path) == ["SHA256SUMS is missing"]
    write_checksums(tmp_path, FILES)
    assert has_checksums(tmp_path)
    return tmp_path


def test_a_folder_as_it_was_written_has_no_fault_whatever_else_is_in_it(folder):
    (folder / "notes.txt").write_text("mine")
    assert changed_files(folder) == []


def test_every_flipped_bit_of_every_file_is_found(folder):
    for name in (*FILES, "SHA256SUMS"):
        file = folder / name
        content = file.read_bytes()
        for position in range(len(content)):
            damaged = bytearray(content)
            damaged[position] ^= 1 << position % 8
            file.write_bytes(damaged)
            assert changed_files(folder), (name, position)
        file.write_bytes(content)
    assert changed_files(folder) == []


def test_what_has_changed_is_said(folder):
    (folder / "a.jsonl").write_text("other")
    (folder / "below/b c.bin").unlink()
    assert changed_files(folder) == ["a.jsonl has changed", "below/b c.bin is missing"]
    (folder / "a.jsonl").unlink()
    (folder / "a.jsonl").mkdir()
    assert changed_files(folder)[0] == "a.jsonl cannot be read (Is a directory)"


@pytest.mark.parametrize("content", ["", "no digest", "\udcff"])
def test_checksums_that_are_none_have_changed(folder, content):
    (folder / "SHA256SUMS").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert changed_files(folder) == ["SHA256SUMS has changed"]


def test_the_command_sha256sum_agrees(folder):
    if not shutil.which("sha256sum"):
        pytest.skip("this system has no sha256sum")
    check = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=folder, check=False).returncode == 0
    (folder / "empty").write_text("no longer")
    assert subprocess.run(check, cwd=folder, check=False, capture_output=True).returncode == 1


def test_a_folder_that_has_changed_is_set_aside(folder):
    assert set_aside_changed(folder / "nowhere") == ""
    assert set_aside_changed(folder) == ""
    (folder / "empty").write_text("no longer")
    aside = folder.with_name(f"{folder.name}.damaged")
    assert set_aside_changed(folder) == f"empty has changed; what was there is now in {aside}"
    assert (aside / "empty").read_text() == "no longer"
    assert not folder.exists()
    folder.mkdir()
    assert set_aside_changed(folder) == f"SHA256SUMS is missing; what was there is now in {aside}-2"
    set_aside = {path.name for path in folder.parent.iterdir() if is_set_aside(path)}
    assert set_aside == {aside.name, f"{aside.name}-2"}
    assert not is_set_aside(folder)


def test_of_two_processes_that_set_a_folder_aside_one_is_faster(folder, monkeypatch):
    (folder / "empty").write_text("no longer")
    rename = Path.rename

    def after_another(path, target):
        rename(path, path.with_name("by another"))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", after_another)
    assert set_aside_changed(folder) == "empty has changed; another process has just renamed what was there"


def test_a_file_in_a_finished_folder_that_was_changed_is_refused(folder):
    for name in FILES:
        refuse_changed(folder / name)
    (folder / "other").write_text("not listed")
    refuse_changed(folder / "other")
    refuse_changed(folder.parent / "nowhere")
    for name, file in (("a.jsonl", "a.jsonl"), ("below/b c.bin", "b c.bin")):
        (folder / name).write_text("other")
        with pytest.raises(DataError) as error:
            refuse_changed(folder / name)
        assert str(error.value) == (
            f"{folder / name}: has changed since it was written, as {folder / 'SHA256SUMS'} says. Run the "
            "recipe again; or, if it was changed on purpose, copy it into another folder."
        )
        shutil.copy(folder / name, folder.parent / file)
        refuse_changed(folder.parent / file)


def test_a_file_that_may_not_be_read_is_named_and_not_taken_for_changed(folder):
    aside = folder.with_name(f"{folder.name}.damaged")
    for closed, named in (("a.jsonl", "a.jsonl"), ("SHA256SUMS", "SHA256SUMS"), ("below", "below/b c.bin")):
        with with_mode(folder / closed, 0), pytest.raises(DataError) as error:
            set_aside_changed(folder)
        assert str(error.value) == (
            f"{folder / named}: cannot be read (Permission denied). Let this user read it, or move it away; "
            "what it held is then made again."
        )
    with with_mode(folder, 0):
        for call in (has_checksums, changed_files, set_aside_changed):
            with pytest.raises(DataError, match=r": cannot be read \(Permission denied\). Let this user"):
                call(folder)
    assert not aside.exists()
    assert changed_files(folder) == []


def test_a_changed_folder_that_cannot_be_set_aside_is_named(tmp_path):
    folder = tmp_path / "above" / "folder"
    folder.mkdir(parents=True)
    with with_mode(folder.parent, 0o555), pytest.raises(DataError) as error:
        set_aside_changed(folder)
    assert str(error.value) == (
        f"{folder}: SHA256SUMS is missing, and the folder cannot be renamed (Permission denied). Let this "
        f"user write in {folder.parent}, or move the folder away; what it held is made again."
    )
