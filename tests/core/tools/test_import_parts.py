import os

import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.files.archives import archive_entries
from amrbench.files.feature_file import FeatureHeader
from amrbench.files.feature_file_writer import InMemoryTable, write_feature_file
from amrbench.tools.import_parts import new_part, origins_in, origins_of, read_origins, write_origins
from tests.core.tools.published_files import folder, zipped

FILES = {"clap/a.npz": b"12345", "clap/b.npz": b"12345"}


def origins(source):
    return list(map(origins_of(source), archive_entries(source)))


def test_each_file_has_an_origin_of_its_own(tmp_path):
    sources = [folder(tmp_path / "x", FILES), folder(tmp_path / "y", FILES), zipped(tmp_path / "z", FILES)]
    every = [origin for source in sources for origin in origins(source)]
    assert len(set(every)) == 6
    assert [origin for source in sources for origin in origins(source)] == every
    assert origins(tmp_path / "x" / "clap" / ".." / ".." / "x") == every[:2], "however the path is spelled"


def test_a_file_that_was_replaced_has_another_origin(tmp_path):
    for source, file in (
        (folder(tmp_path / "x", FILES), tmp_path / "x" / "clap" / "a.npz"),
        (zipped(tmp_path / "z", FILES), tmp_path / "z"),
    ):
        before = origins(source)[0]
        os.utime(file, ns=(1, 1))
        assert origins(source)[0] != before


def test_origins_are_kept_beside_their_part(tmp_path):
    part = tmp_path / "part-000000.h5"
    known = {("audio", "a"): "x", ("text", "a"): "y", ("text", "1\tein Hörn"): "z"}
    write_origins(part, known)
    assert read_origins(part) == known
    assert read_origins(tmp_path / "part-000001.h5") == {}


def test_origins_that_cannot_be_read_are_not_known(tmp_path):
    for content in (b"", b"{", b"[]", b'{"audio": {"a": 1}}', b'{"video": {}}', b"\xff"):
        (tmp_path / "part-000000.origins.json").write_bytes(content)
        assert read_origins(tmp_path / "part-000000.h5") == {}


def test_of_features_without_origins_it_is_known_that_they_are_there(tmp_path):
    header = FeatureHeader(source="x", backend="y", fingerprint="z", hop=1.0, audio_width=2, text_width=2)
    rows = (np.zeros((1, 2), np.float32),) * 2
    part = tmp_path / "part-000000.h5"
    write_feature_file(
        part, header, audio=InMemoryTable(("a", "b"), rows), text=InMemoryTable(("1\td",), rows[:1])
    )
    write_origins(part, {("audio", "b"): "x"})
    assert origins_in([part]) == {("audio", "a"): "", ("audio", "b"): "x", ("text", "1\td"): ""}


def test_numbers_of_parts_are_not_used_again(tmp_path):
    folder = tmp_path / "clap.importing"
    assert new_part(folder) == folder / "part-000000.h5"
    (folder / "part-000004.h5").touch()
    assert new_part(folder) == folder / "part-000005.h5"


def test_a_folder_of_parts_that_cannot_be_made(tmp_path):
    (tmp_path / "clap.importing").touch()
    with pytest.raises(DataError) as error:
        new_part(tmp_path / "clap.importing")
    assert str(error.value) == (
        f"{tmp_path}/clap.importing: cannot be created (File exists). Move away the file of this name, or "
        "make the folder above writable."
    )
