"""Files that are whole or not there."""

from pathlib import Path

import pytest

from amrbench.errors import RunError
from amrbench.files.atomic import atomic_path, write_text_atomic


def test_an_unwritable_folder_is_named(tmp_path):
    with pytest.raises(RunError, match=r"x\.json: cannot be written"):
        write_text_atomic(tmp_path / "none" / "x.json", "{}")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    write_text_atomic(tmp_path / "x.json", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text_atomic(tmp_path / "x.json", "\ud800")
    assert (tmp_path / "x.json").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_writer_that_fails_half_way_leaves_nothing(tmp_path):
    def fail():
        with atomic_path(tmp_path / "x") as part:
            part.write_text("half")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_path_without_a_name_is_a_folder(name):
    with pytest.raises(RunError, match=r"[./]: cannot be written \(Is a directory\). Check the folder."):
        write_text_atomic(Path(name), "{}")
