from __future__ import annotations

import io
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.archives import archive_entries

FILES = {"b/-2.npz": b"two", "a.npz": b"one" * 1000, "b/é.npz": b""}


def make(folder: Path, kind: str) -> Path:
    """Return a folder or an archive with the files, in this order."""
    source = folder / f"x.{kind}" if kind else folder / "x"
    if kind == "zip":
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in FILES.items():
                archive.writestr(name, data)
    elif kind:
        with tarfile.open(source, f"w:{kind.partition('.')[2]}") as archive:
            for name, data in FILES.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    else:
        for name, data in FILES.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(data)
    return source


def contents(source: Path) -> list[bytes]:
    return [entry.read() for entry in archive_entries(source)]


def refusal(source: Path) -> str:
    with pytest.raises(DataError) as error:
        contents(source)
    return str(error.value)


@pytest.mark.parametrize("kind", ["", "tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_folders_and_archives_have_the_same_files(tmp_path: Path, kind: str) -> None:
    source = make(tmp_path, kind)
    entries = {
        entry.path.as_posix(): (entry.read(), entry.size, entry.location) for entry in archive_entries(source)
    }
    inside = f"{source}/" if not kind else f"{source}: "
    assert entries == {name: (data, len(data), f"{inside}{name}") for name, data in FILES.items()}
    assert list(entries) == (list(FILES) if kind else sorted(FILES))


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_truncated_archives_are_refused(tmp_path: Path, kind: str) -> None:
    source = make(tmp_path, kind)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 3])
    text = refusal(source)
    assert text.startswith(str(source))
    assert ": cannot be read to its end (" in text
    assert text.endswith("). Download or copy it again.")


def test_a_broken_header_is_not_the_end_of_an_archive(tmp_path: Path) -> None:
    source = make(tmp_path, "tar")
    data = bytearray(source.read_bytes())
    data[1024 + 148 : 1024 + 156] = b"xxxxxxxx"  # the checksum of the second header
    source.write_bytes(data)
    assert refusal(source).startswith(f"{source}: cannot be read to its end (a header is broken: ")


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("name", ["../a.npz", "/a.npz", "b/../../a.npz", "..\\a.npz"])
def test_names_that_point_out_of_an_archive_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    source = make(tmp_path, kind)
    if kind == "zip":
        with zipfile.ZipFile(source, "a") as archive:
            archive.writestr(name, b"x")
    else:
        with tarfile.open(source, "a") as archive:
            archive.addfile(tarfile.TarInfo(name))
    assert refusal(source) == (
        f"{source}: the name {name!r} points out of the archive. Published features have no such names; "
        "get the archive from its public home."
    )


def test_links_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "x.tar"
    with tarfile.open(source, "w") as archive:
        entry = tarfile.TarInfo("a.npz")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    assert refusal(source).startswith(f"{source}: 'a.npz' is a link or a device, not a file.")


def test_a_zip_entry_longer_than_its_header_says_is_not_unpacked(tmp_path: Path) -> None:
    source = tmp_path / "x.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npz", bytes(50_000_000))
    size = (50_000_000).to_bytes(4, "little")
    source.write_bytes(source.read_bytes().replace(size, (9).to_bytes(4, "little")))
    entries = archive_entries(source)
    entry = next(entries)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"x\.zip: a\.npz: cannot be read to its end \(.*CRC"):
            entry.read()
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_other_sources_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no") == f"{tmp_path}/no: there is no such folder or archive."
    (tmp_path / "x.rar").write_bytes(b"x")
    assert refusal(tmp_path / "x.rar") == (
        f"{tmp_path}/x.rar: neither a folder nor an archive (.tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, .zip)."
    )
