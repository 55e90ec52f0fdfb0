import hashlib
import json
from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.shard_manifest import (
    MANIFEST,
    ShardEntry,
    as_entry,
    entry_of,
    read_manifest,
    write_manifest,
)
from tests.core.files.feature_files import NAMES, written


@pytest.fixture
def entry(tmp_path):
    return entry_of(written(tmp_path / "a.h5", half=True).path)


def test_an_entry_says_what_a_feature_file_holds(tmp_path, entry):
    content = (tmp_path / "a.h5").read_bytes()
    assert entry == ShardEntry(
        shard="a.h5",
        recordings=NAMES,
        rows=1 + 2 + 3 + 4,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        encoder="toy-features",
        fingerprint="f00",
        half=True,
    )


def test_what_is_written_is_read(tmp_path, entry):
    write_manifest(tmp_path, [entry])
    assert read_manifest(tmp_path) == [entry]
    (line,) = (tmp_path / MANIFEST).read_text(encoding="utf-8").splitlines()
    assert as_entry(json.loads(line)) == entry


def test_differences_from_the_entry_are_named(tmp_path, entry):
    file = tmp_path / "a.h5"
    content = file.read_bytes()
    assert entry.fault_in(tmp_path) == ""
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert entry.fault_in(tmp_path) == "has changed"
    file.write_bytes(content[:-1])
    assert entry.fault_in(tmp_path) == f"has {len(content) - 1:,} bytes, not {len(content):,}"
    file.unlink()
    assert entry.fault_in(tmp_path) == "is missing"


def test_a_file_that_cannot_be_read(tmp_path, entry, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    # Not by permissions, which do not stop the administrator, who may run this test.
    monkeypatch.setattr(Path, "open", refuse)
    assert entry.fault_in(tmp_path) == "cannot be read (Permission denied)"


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("shard", "../a.h5", 'is "../a.h5", which leads elsewhere'),
        ("shard", 3, "is 3, not text"),
        ("recordings", ["a", 1], "holds 1 at position 2"),
        ("rows", -1, "is -1, not a whole number of at least 0"),
        ("bytes", True, "is true, not a whole number of at least 0"),
        ("sha256", "F" * 50, f'is "{"F" * 50}", not 64 hexadecimal digits'),
        ("encoder", "", "is blank"),
        ("half", 1, "is 1, not true or false"),
    ],
)
def test_a_damaged_manifest_is_named_with_its_line(tmp_path, entry, key, value, fault):
    row = vars(entry) | {key: value}
    (tmp_path / MANIFEST).write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError) as error:
        read_manifest(tmp_path)
    assert str(error.value) == (
        f'{tmp_path}/{MANIFEST}:1: "{key}" {fault}; restore the manifest, or extract the features again.'
    )
