"""Hashes of files: what is read again, and what a damaged memory costs."""

import hashlib
import os

import pytest

from amrbench.errors import DataError
from amrbench.files import remembered_hashes
from amrbench.files.remembered_hashes import HASHES, file_hashes

OLD = 1_000_000_000_000_000_000
"""A time long ago, in nanoseconds."""


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "audio" / "a.wav"
    path.parent.mkdir()
    write(path, b"one")
    return path


def write(path, content, changed=OLD):
    path.write_bytes(content)
    os.utime(path, ns=(changed, changed))


def of(*paths):
    return file_hashes(paths[0].parent, paths)


def test_a_file_is_read_again_when_its_size_or_time_is_another(cache, file):
    assert of(file) == [sha256(b"one")]
    write(file, b"two")
    assert of(file) == [sha256(b"one")], "remembered, not read"
    write(file, b"three")
    assert of(file) == [sha256(b"three")]
    write(file, b"seven", OLD + 1)
    assert of(file) == [sha256(b"seven")]


def test_a_file_that_was_changed_just_now_is_not_remembered(cache, file):
    now = remembered_hashes.time.time_ns()
    for content in (b"one", b"two"):
        write(file, content, now)
        assert of(file) == [sha256(content)]


def test_names_need_not_be_unicode(cache, file):
    other = file.with_name(os.fsdecode(b"\xff.wav"))
    write(other, b"two")
    assert of(file, other) == of(file, other) == [sha256(b"one"), sha256(b"two")]


def test_what_is_remembered_may_be_deleted_or_damaged(cache, file):
    of(file)
    (store,) = (cache / HASHES).iterdir()
    whole = store.read_text()
    for damaged in ("", whole[:-9], "[1]", '{"a": 1}', "\0" * 50):
        store.write_text(damaged)
        assert of(file) == [sha256(b"one")]
        assert store.read_text() == whole
    store.unlink()
    assert of(file) == [sha256(b"one")]


def test_files_that_are_gone_are_forgotten(cache, file):
    other = file.with_name("b.wav")
    write(other, b"two")
    of(file, other)
    of(file)
    (store,) = (cache / HASHES).iterdir()
    assert "a.wav" in store.read_text()
    assert "b.wav" not in store.read_text()


def test_a_cache_that_cannot_be_written_to_costs_time_alone(cache, file):
    cache.write_text("a file")
    assert of(file) == [sha256(b"one")]


def test_a_file_that_cannot_be_read_is_named(cache, file):
    file.unlink()
    with pytest.raises(DataError) as error:
        of(file)
    assert str(error.value) == f"{file}: cannot be read (No such file or directory). Check the path."
