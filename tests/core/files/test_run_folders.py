import os
from pathlib import Path

from amrbench.files.run_folders import REMEMBERED, remember_runs, remembered_runs


def test_folders_are_remembered_once_by_their_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b", "a", "a"):
        Path(name).mkdir(exist_ok=True)
        remember_runs(tmp_path / "cache", Path(name))
    (tmp_path / "link").symlink_to("a")
    remember_runs(tmp_path / "cache", tmp_path / "link")
    assert remembered_runs(tmp_path / "cache") == [tmp_path / "a", tmp_path / "b"]
    assert len([*(tmp_path / "cache" / REMEMBERED).iterdir()]) == 2


def test_a_folder_that_is_gone_is_left_out_and_one_that_is_made_later_is_not(tmp_path):
    remember_runs(tmp_path, tmp_path / "runs")
    assert remembered_runs(tmp_path) == []
    (tmp_path / "runs").mkdir()
    assert remembered_runs(tmp_path) == [tmp_path / "runs"]


def test_a_name_that_is_not_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"r\xfc")
    folder.mkdir()
    remember_runs(tmp_path, folder)
    assert remembered_runs(tmp_path) == [folder]


def test_a_cache_that_cannot_be_written_to_remembers_nothing(tmp_path):
    (tmp_path / "cache").write_text("a file")
    remember_runs(tmp_path / "cache", tmp_path)
    assert remembered_runs(tmp_path / "cache") == []


def test_what_is_no_path_is_left_out(tmp_path):
    (tmp_path / REMEMBERED).mkdir()
    for number, content in enumerate([b"", b"a\0b", b"/a\0b", b"relative"]):
        (tmp_path / REMEMBERED / f"{number}.path").write_bytes(content)
    assert remembered_runs(tmp_path) == []
