from pathlib import Path

import pytest

from amrbench.errors import DataError, RunError
from amrbench.files.writable_folder import refuse_missing_parent, refuse_unwritable
from tests.small_world.permissions import with_mode


def refused(folder):
    with pytest.raises(RunError) as error:
        refuse_unwritable(folder, "the runs", "name another folder with --out")
    return str(error.value)


def test_a_folder_that_is_missing_is_made_and_left_empty(tmp_path):
    refuse_unwritable(tmp_path / "a" / "b", "the runs", "name another folder with --out")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("mode", [0o555, 0o000])
@pytest.mark.parametrize("below", ["", "a/b"])
def test_a_folder_that_may_not_be_written_to_is_named(tmp_path, mode, below):
    folder = tmp_path / "runs" / below
    (tmp_path / "runs").mkdir()
    with with_mode(tmp_path / "runs", mode):
        assert refused(folder) == (
            f"{folder}: the runs would go there, but it cannot be written to (Permission denied). Let this "
            "user write there, or name another folder with --out."
        )


@pytest.mark.parametrize("below", ["", "a/b"])
def test_a_file_in_place_of_a_folder_is_named(tmp_path, below):
    (tmp_path / "runs").touch()
    folder = tmp_path / "runs" / below
    assert refused(folder) == (
        f"{folder}: the runs would go there, but {tmp_path / 'runs'} is a file. Move it away, or name "
        "another folder with --out."
    )


@pytest.mark.parametrize("below", ["", "a/b"])
def test_a_link_that_leads_nowhere_in_place_of_a_folder_is_named(tmp_path, below):
    (tmp_path / "runs").symlink_to(tmp_path / "scratch")
    folder = tmp_path / "runs" / below
    assert refused(folder) == (
        f"{folder}: the runs would go there, but {tmp_path / 'runs'} is a link to {tmp_path / 'scratch'}, "
        "which is not there. Move it away, or name another folder with --out."
    )


def test_what_is_neither_a_file_nor_a_folder_is_named():
    assert refused(Path("/dev/null")) == (
        "/dev/null: the runs would go there, but /dev/null is no folder. Move it away, or name another "
        "folder with --out."
    )


def test_the_folder_of_a_file_must_be_there(tmp_path):
    refuse_missing_parent(tmp_path / "a.txt")
    with pytest.raises(DataError) as error:
        refuse_missing_parent(tmp_path / "no" / "a.txt")
    assert str(error.value) == (
        f"{tmp_path}/no/a.txt: there is no folder '{tmp_path}/no'. Make it, or choose another path."
    )


def test_a_folder_is_no_file_to_write(tmp_path):
    (tmp_path / "a.txt").touch()
    refuse_missing_parent(tmp_path / "a.txt")
    with pytest.raises(DataError) as error:
        refuse_missing_parent(tmp_path)
    assert str(error.value) == f"{tmp_path}: is a folder. Name a file for the output."
