import errno
import os
from pathlib import Path

import pytest

from amrbench.errors import RunError
from amrbench.files.checksums import CHECKSUMS, changed_files, write_checksums
from amrbench.files.packed_folder import pack_folder, unpack_folder


@pytest.fixture
def folder(tmp_path):
    """A finished folder with a file that its checksums leave out."""
    folder = tmp_path / "here" / "stage"
    (folder / "more").mkdir(parents=True)
    for name in ("weights", "more/log", "times"):
        (folder / name).write_bytes(name.encode() * 3)
    write_checksums(folder, ["weights", "more/log"])
    return folder


@pytest.fixture
def there(tmp_path):
    (tmp_path / "there").mkdir()
    return tmp_path / "there" / "stage"


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_packed_is_unpacked(folder, there):
    files = pack_folder(folder)
    assert list(files) == ["more/log", "times", "weights", CHECKSUMS]
    assert unpack_folder(files, there) == ""
    assert changed_files(there) == []
    assert pack_folder(there) == files
    assert names_in(there.parent) == ["stage"]


@pytest.mark.parametrize("name", ["weights", "more/log", CHECKSUMS])
def test_what_was_changed_or_lost_on_the_way_is_refused(folder, there, name):
    for change in (b"", None):
        files = pack_folder(folder)
        if change is None:
            del files[name]
        else:
            files[name] = change
        with pytest.raises(RunError) as error:
            unpack_folder(files, there)
        fault = "is missing" if change is None else "has changed"
        assert str(error.value) == (
            f"{there}: what came from another machine is not what was sent ({name} {fault}). Give the same "
            "command again."
        )
        assert names_in(there.parent) == []


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", ""])
def test_names_that_lead_elsewhere_are_refused(folder, there, name):
    with pytest.raises(RunError) as error:
        unpack_folder(pack_folder(folder) | {name: b""}, there)
    assert str(error.value) == (
        f"{there}: the name {name!r} of what came from another machine leads elsewhere."
    )
    assert names_in(there.parent) == []


def test_a_folder_that_was_written_meanwhile_is_kept(folder, there):
    files = pack_folder(folder)
    unpack_folder(files, there)
    assert unpack_folder(files, there) == ""
    (there / "weights").write_bytes(b"other")
    write_checksums(there, ["weights"])
    assert unpack_folder(files, there) == (
        f"{there}: another process wrote it at the same time, to other bytes, which are kept"
    )
    assert (there / "weights").read_bytes() == b"other"
    assert names_in(there.parent) == ["stage"]


def test_a_folder_that_cannot_be_written(folder, there):
    there.parent.rmdir()
    there.parent.write_bytes(b"a file")
    with pytest.raises(
        RunError, match=r"cannot be written \(Not a directory\). Check the folder and the disk"
    ):
        unpack_folder(pack_folder(folder), there)


def test_a_full_disk_is_one_message(folder, there, monkeypatch):
    files = pack_folder(folder)

    def write(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(RunError) as error:
        unpack_folder(files, there)
    assert str(error.value) == (
        f"{there}: cannot be written (No space left on device). Check the folder and the disk."
    )
