from __future__ import annotations

import os
from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.folder_files import files_below, has_file


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(paths: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def test_hidden_files_are_listed_apart_and_hidden_folders_are_not_listed(tmp_path: Path) -> None:
    for name in (
        "b.wav",
        "a/a.wav",
        "._b.wav",
        "a/.DS_Store",
        ".git/x.wav",
        "__MACOSX/a.wav",
        "@eaDir/a.wav",
    ):
        touch(tmp_path / name)
    listed = files_below(tmp_path)
    assert names(listed.files, tmp_path) == ["a/a.wav", "b.wav"]
    assert names(listed.hidden, tmp_path) == ["._b.wav", "a/.DS_Store"]


def test_linked_folders_and_files_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "store" / "a.wav", tmp_path / "other" / "b.wav")
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "day1").symlink_to(tmp_path / "store")
    (tmp_path / "audio" / "c.wav").symlink_to("../other/b.wav")
    assert names(files_below(tmp_path / "audio").files, tmp_path / "audio") == ["c.wav", "day1/a.wav"]


def test_links_in_a_circle_end_and_a_folder_is_listed_at_its_own_path(tmp_path: Path) -> None:
    touch(tmp_path / "z" / "a.wav")
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "z" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    listed = files_below(tmp_path)
    assert names(listed.files, tmp_path) == ["z/a.wav"]
    assert names(listed.broken, tmp_path) == ["self"]


def test_links_that_lead_to_no_file_are_listed_apart(tmp_path: Path) -> None:
    (tmp_path / "a.wav").symlink_to("../../gone/a.wav")
    listed = files_below(tmp_path)
    assert (listed.files, names(listed.broken, tmp_path)) == ([], ["a.wav"])


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        files_below(tmp_path / "no")
    assert str(error.value) == f"{tmp_path}/no: there is no such folder. Check the path."


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "b" / "a.wav")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("amrbench.files.folder_files.os.scandir", refuse)
    with pytest.raises(DataError) as error:
        files_below(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/b: cannot be read (Permission denied). Make it readable, or move it away."
    )


def test_one_file_with_a_suffix_is_enough(tmp_path: Path) -> None:
    assert not has_file(tmp_path / "no", (".wav",))
    touch(tmp_path / ".a.wav", tmp_path / "a.txt")
    assert not has_file(tmp_path, (".wav",))
    touch(tmp_path / "b" / "a.WAV")
    assert has_file(tmp_path, (".wav",))
