from __future__ import annotations

from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.archive_parts import part_of, refuse_part

CAT = "Join all parts first: 'cat {0} > {1}', or on Windows 'copy /b {0} {1}'."


@pytest.mark.parametrize(
    ("name", "whole", "remedy"),
    [
        ("f.tar.gz.part-aa", "f.tar.gz", CAT.format("f.tar.gz.part-*", "f.tar.gz")),
        ("f.tar.gz.partab", "f.tar.gz", CAT.format("f.tar.gz.part*", "f.tar.gz")),
        ("f.zip.part1", "f.zip", CAT.format("f.zip.part*", "f.zip")),
        ("f.tar.gz.aa", "f.tar.gz", CAT.format("f.tar.gz.*", "f.tar.gz")),
        ("f.tar.gzaa", "f.tar.gz", CAT.format("f.tar.gz*", "f.tar.gz")),
        ("f.tar.00", "f.tar", CAT.format("f.tar.*", "f.tar")),
        ("my f.zip.001", "my f.zip", CAT.format("'my f.zip.'*", "'my f.zip'")),
        ("clap.001", "clap", CAT.format("clap.*", "clap")),
        ("f.z01", "f.zip", "Join all parts first: 'zip -s 0 f.zip --out f-joined.zip'."),
        ("f.part1.rar", "f", "Unpack all parts with the program that made them, and name the folder."),
        ("f.7z.001", "f", "Unpack all parts with the program that made them, and name the folder."),
        ("f.r00", "f", "Unpack all parts with the program that made them, and name the folder."),
    ],
)
def test_parts_of_archives_are_recognised_by_their_names(name: str, whole: str, remedy: str) -> None:
    part = part_of(name)
    assert part is not None
    assert (part.whole, part.remedy) == (whole, remedy)


@pytest.mark.parametrize(
    "name",
    ["f.tar", "f.tar.gz", "f.tar.bz2", "f.tar.bz", "f.zip", "f.zip.1", "f.tar.gz.part", "a.wav", "a.7z"],
)
def test_whole_archives_are_no_parts(name: str) -> None:
    assert part_of(name) is None


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as error:
        refuse_part(path)
    return str(error.value)


def test_a_part_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.tar.gz.part-aa"
    assert refusal(path) == f"{path}: is a part of an archive. {CAT.format('f.tar.gz.part-*', 'f.tar.gz')}"


def test_parts_of_an_archive_that_is_not_joined(tmp_path: Path) -> None:
    for end in ("aa", "ab"):
        (tmp_path / f"f.tar.gz.part-{end}").touch()
    assert refusal(tmp_path / "f.tar.gz") == (
        f"{tmp_path}/f.tar.gz: is not there, but parts of it are: 'f.tar.gz.part-aa', 'f.tar.gz.part-ab'. "
        + CAT.format("f.tar.gz.part-*", "f.tar.gz")
    )
    (tmp_path / "f.tar.gz").touch()
    refuse_part(tmp_path / "f.tar.gz")


def test_the_last_part_of_a_zip_archive(tmp_path: Path) -> None:
    (tmp_path / "f.zip").touch()
    refuse_part(tmp_path / "f.zip")
    (tmp_path / "f.z01").touch()
    assert refusal(tmp_path / "f.zip") == (
        f"{tmp_path}/f.zip: is the last part of an archive: 'f.z01'. "
        "Join all parts first: 'zip -s 0 f.zip --out f-joined.zip'."
    )


def test_a_missing_folder_has_no_parts(tmp_path: Path) -> None:
    refuse_part(tmp_path / "no" / "f.zip")
