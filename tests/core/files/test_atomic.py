import os
import socket
from pathlib import Path
from stat import S_ISFIFO

import pytest

from amrbench.errors import DataError, RunError
from amrbench.files import atomic
from amrbench.files.atomic import (
    atomic_path,
    refuse_filled,
    refuse_replacing,
    remove_leftovers,
    remove_leftovers_below,
    write_text_atomic,
)
from amrbench.files.owner import Owner, this_process


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


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "x.json").write_text("old")
    for name, target in (("link", "other"), ("other", "store/x.json"), ("dangling", "store/new.json")):
        (tmp_path / name).symlink_to(target)
    write_text_atomic(tmp_path / "link", "new")
    write_text_atomic(tmp_path / "dangling", "made")
    assert [(tmp_path / name).is_symlink() for name in ("link", "other", "dangling")] == [True] * 3
    files = {file.name: file.read_text() for file in (tmp_path / "store").iterdir()}
    assert files == {"x.json": "new", "new.json": "made"}
    assert len(list(tmp_path.iterdir())) == 4


def test_a_link_to_itself_cannot_be_written(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(RunError, match=r"loop: cannot be written \(Too many levels of symbolic links\)"):
        write_text_atomic(tmp_path / "loop", "{}")
    assert (tmp_path / "loop").is_symlink()


def test_devices_pipes_and_sockets_are_no_outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # The name of a socket is short.
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
    os.symlink("pipe", "link")
    for name in ("pipe", "socket", "link"):
        with pytest.raises(DataError) as error:
            write_text_atomic(Path(name), "{}")
        assert str(error.value) == (
            f"{name}: is a device, a pipe or a socket, and no file. Name a file for the output."
        )
    assert S_ISFIFO(Path("pipe").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe", "socket"]


def test_a_pipe_is_refused_through_the_link_of_an_open_file(tmp_path):
    reader, writer = os.pipe()
    try:
        with pytest.raises(DataError, match=f"/dev/fd/{writer}: is a device, a pipe or a socket"):
            write_text_atomic(Path(f"/dev/fd/{writer}"), "{}")
    finally:
        os.close(reader)
        os.close(writer)


def test_a_folder_is_refused_before_anything_is_written(tmp_path):
    def write():
        with atomic_path(tmp_path):
            pytest.fail("begun")

    with pytest.raises(IsADirectoryError):
        write()


def test_an_input_cannot_be_the_output(tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("x")
    refuse_replacing(tmp_path / "b.txt", [source, tmp_path / "none.txt"])
    same = tmp_path / ".." / tmp_path.name / "a.txt"
    with pytest.raises(DataError) as error:
        refuse_replacing(same, [source])
    assert str(error.value) == f"{same}: is an input, so it cannot be the output. Name another output."


def test_only_leftovers_of_the_same_file_are_removed(tmp_path):
    others = [".a.h5.x.part", ".b.h5.0ab-12.part", "a.h5"]
    for name in (".a.h5.0ab-12.part", ".a.h5.1cd-345.part", *others):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "a.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == others


def test_leftovers_lie_beside_the_file_that_a_link_leads_to(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".b.h5.0ab-12.part").touch()
    (tmp_path / "a.h5").symlink_to("store/b.h5")
    remove_leftovers(tmp_path / "a.h5")
    assert list((tmp_path / "store").iterdir()) == []


def test_leftovers_of_all_files_of_a_folder_are_removed(tmp_path):
    (tmp_path / "sub").mkdir()
    kept = ["sub/.a.h5.x.part", "sub/0ab-12.part", "x.json"]
    for name in (".x.json.0ab-12.part", "sub/.b.1cd-3.part", *kept):
        (tmp_path / name).touch()
    remove_leftovers_below(tmp_path)
    files = (path for path in tmp_path.rglob("*") if path.is_file())
    assert sorted(path.relative_to(tmp_path).as_posix() for path in files) == kept


def test_two_hosts_with_one_process_number_write_the_same_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    with atomic_path(path) as own:
        own.write_text("own")
        monkeypatch.setattr(atomic, "this_process", lambda: Owner("gpu5", this_process().process, "0123"))
        write_text_atomic(path, "other")
        assert path.read_text() == "other"
    assert path.read_text() == "own"
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_a_filled_file_is_refused_and_an_empty_or_new_one_is_not(tmp_path):
    refuse_filled(tmp_path / "a.csv", "--csv")
    (tmp_path / "a.csv").touch()
    refuse_filled(tmp_path / "a.csv", "--csv")
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(DataError) as error:
        refuse_filled(tmp_path / "a.csv", "--csv")
    assert str(error.value) == (
        f"{tmp_path}/a.csv: is there already, and may have been corrected by hand. Name a new or empty file "
        "with --csv, or move this one away."
    )
