from __future__ import annotations

import bz2
import gzip
import io
import lzma
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
    (tmp_path / "x.bin").write_bytes(b"\x01\xff")
    assert refusal(tmp_path / "x.bin") == (
        f"{tmp_path}/x.bin: neither a folder nor an archive "
        "(.tar, .tar.gz, .tgz, .tar.bz2, .tbz2, .tar.xz, .txz, .zip)."
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty. Copy or download it again."),
        (b"Rar!\x1a\x07\x00", "is a RAR archive. Unpack it first."),
        (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive. Unpack it first."),
        (
            b"<!DOCTYPE html><html>",
            "is a web page. The download failed; open its address in a browser, and download it again.",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "is a Git LFS pointer, whose content 'git lfs pull' fetches. Run it, and try again.",
        ),
        (
            gzip.compress(b'{"qid": 1}', mtime=0),
            'is compressed, and unpacked it is a JSON file: "{\\"qid\\": 1}". Copy or download the '
            "right file. A download may have failed and left a message.",
        ),
    ],
)
def test_files_that_are_no_archives_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.tar.gz").write_bytes(data)
    assert refusal(tmp_path / "x.tar.gz") == f"{tmp_path}/x.tar.gz: {message}"


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("name", ["X.TGZ", "x.tar.gz?download=1", "18358706"])
def test_archives_are_recognised_by_their_content(tmp_path: Path, kind: str, name: str) -> None:
    source = make(tmp_path, kind).rename(tmp_path / name)
    assert contents(source) == list(FILES.values())


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_back_slashes_in_names_are_folders(tmp_path: Path, kind: str) -> None:
    source = tmp_path / f"x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("clap\\", b"")
            archive.writestr("clap\\a.npz", b"x")
    else:
        with tarfile.open(source, "w") as archive:
            archive.addfile(tarfile.TarInfo("clap\\a.npz"))
    assert [entry.path.as_posix() for entry in archive_entries(source)] == ["clap/a.npz"]


def test_names_in_utf_8_are_read_without_the_flag_for_them(tmp_path: Path) -> None:
    source = tmp_path / "x.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("a\u0301.npz", b"x")
        archive.writestr("b.npz", b"x")
    data = bytearray(source.read_bytes())
    for start, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(start) + flag + 1] &= ~0x08
    source.write_bytes(data.replace(b"b.npz", b"\x81.npz"))
    assert [entry.path.name for entry in archive_entries(source)] == ["a\u0301.npz", "\u00fc.npz"]


@pytest.mark.parametrize("kind", ["", "zip"])
def test_folders_of_operating_systems_are_left_out(tmp_path: Path, kind: str) -> None:
    source = make(tmp_path, kind)
    if kind:
        with zipfile.ZipFile(source, "a") as archive:
            archive.writestr("__MACOSX/b/._-2.npz", b"x")
    else:
        (source / "__MACOSX").mkdir()
        (source / "__MACOSX" / "a.npz").write_bytes(b"x")
    assert len(contents(source)) == len(FILES)


def test_one_file_is_a_source_too(tmp_path: Path) -> None:
    (tmp_path / "clap").mkdir()
    (tmp_path / "clap" / "a.NPZ").write_bytes(b"x")
    entry = next(archive_entries(tmp_path / "clap" / "a.NPZ"))
    assert (entry.path.as_posix(), entry.read()) == ("clap/a.NPZ", b"x")


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    make(tmp_path, "")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "clap").symlink_to(tmp_path / "x")
    (tmp_path / "x" / "again").symlink_to(tmp_path / "y")
    names = [entry.path.as_posix() for entry in archive_entries(tmp_path / "y")]
    assert names == [f"clap/{name}" for name in sorted(FILES)]


def test_files_of_torch_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"x")
    assert refusal(tmp_path / "a.pt") == (
        f"{tmp_path}/a.pt: is a file of torch.save, which is not read. Save the numbers as .npz, with "
        "numpy.savez."
    )


COMPRESSORS = {"tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress}


@pytest.mark.parametrize("kind", COMPRESSORS)
@pytest.mark.parametrize("size", [100, 512, 1024, 3000])
def test_archives_that_were_compressed_in_pieces_are_read_to_their_end(
    tmp_path: Path, kind: str, size: int
) -> None:
    tar = make(tmp_path, "tar").read_bytes()
    pieces = [tar[start : start + size] for start in range(0, len(tar), size)]
    source = tmp_path / f"y.{kind}"
    source.write_bytes(b"".join(map(COMPRESSORS[kind], pieces)))
    assert contents(source) == list(FILES.values())


@pytest.mark.parametrize(
    ("kind", "place"), [("tar.gz", -8), ("tar.gz", -4), ("tar.bz2", -3), ("tar.xz", -12)]
)
def test_a_wrong_checksum_at_the_end_of_an_archive_is_noticed(tmp_path: Path, kind: str, place: int) -> None:
    source = make(tmp_path, kind)
    data = bytearray(source.read_bytes())
    data[place] ^= 1
    source.write_bytes(data)
    text = refusal(source)
    assert text.startswith(f"{source}: cannot be read to its end (")
    assert text.endswith("). Download or copy it again.")


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_an_archive_that_lacks_its_last_bytes_is_refused(tmp_path: Path, kind: str) -> None:
    source = make(tmp_path, kind)
    source.write_bytes(source.read_bytes()[:-1])
    assert refusal(source).startswith(f"{source}: cannot be read to its end (")
