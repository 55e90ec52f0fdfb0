from __future__ import annotations

import dataclasses
import fcntl
import multiprocessing
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.files.feature_file import SCHEMA, FeatureFile, open_feature_file
from amrbench.files.feature_file_writer import InMemoryTable
from amrbench.files.file_digest import SIZE, write_digest
from tests.core.files.feature_files import HEADER, NAMES, SENTENCES, items, written
from tests.mutation import byte_changes
from tests.small_world.permissions import with_mode


@pytest.fixture
def features(tmp_path: Path) -> FeatureFile:
    return written(tmp_path / "features.h5")


def test_what_is_written_is_read_bit_by_bit(features: FeatureFile) -> None:
    audio = items(NAMES, 4)
    assert features.audio.ids == NAMES
    assert features.header == HEADER
    for name, rows in zip(audio.ids, audio.rows, strict=True):
        np.testing.assert_array_equal(features.audio.rows(name), rows)
    np.testing.assert_array_equal(features.text.flat, np.concatenate(items(SENTENCES, 3).rows))
    assert features.audio.lengths.tolist() == [1, 2, 3, 4]
    features.verify()


def test_the_file_is_plain_hdf5(features: FeatureFile) -> None:
    with h5py.File(features.path) as file:
        assert file.attrs["schema"] == "amrbench.features/1"
        assert file["audio/id"].asstr()[()].tolist() == list(NAMES)
        rows = file["audio/rows"][()]
        offsets = file["audio/offset"][()]
    for index, name in enumerate(NAMES):
        np.testing.assert_array_equal(rows[offsets[index] : offsets[index + 1]], features.audio.rows(name))


def test_an_empty_group_is_fine(tmp_path: Path) -> None:
    features = written(tmp_path / "features.h5", text=InMemoryTable())
    features.verify()
    assert features.text.flat.shape == (0, 3)


def test_ten_thousand_items(tmp_path: Path) -> None:
    rows = np.arange(80_000, dtype=np.float32).reshape(10_000, 2, 4)
    features = written(tmp_path / "many.h5", audio=InMemoryTable(tuple(map(str, range(10_000))), tuple(rows)))
    np.testing.assert_array_equal(features.audio.rows("7777"), rows[7777])
    assert features.audio.flat.shape == (20_000, 4)


def test_rows_are_mapped_and_read_only(features: FeatureFile) -> None:
    assert isinstance(features.audio.rows("-dash").base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        features.audio.rows("-dash")[0, 0] = 1


def test_rows_are_not_pickled(tmp_path: Path) -> None:
    big = InMemoryTable(("a",), (np.ones((50_000, 4), np.float32),))
    features = written(tmp_path / "features.h5", audio=big)
    features.audio.rows("a")
    data = pickle.dumps(features)
    assert len(data) < 10_000
    np.testing.assert_array_equal(pickle.loads(data).audio.rows("a"), big.rows[0])


def _sum_of(features: FeatureFile, name: str, pipe: object) -> None:
    pipe.send(float(features.audio.rows(name).sum()))  # type: ignore[attr-defined]


def test_forked_processes_read_the_same(features: FeatureFile) -> None:
    features.audio.rows(NAMES[0])
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in NAMES]
    workers = [
        context.Process(target=_sum_of, args=(features, name, send))
        for name, (_, send) in zip(NAMES, pipes, strict=True)
    ]
    for worker in workers:
        worker.start()
    sums = [receive.recv() for receive, _ in pipes]
    for worker in workers:
        worker.join()
    assert sums == [float(features.audio.rows(name).sum()) for name in NAMES]


def test_missing_ids_are_named_with_a_near_one(features: FeatureFile) -> None:
    with pytest.raises(DataError, match="no audio features of '-dahs' among 4 items. Did you mean '-dash'"):
        features.audio.rows("-dahs")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing.h5: there is no such feature file"):
        open_feature_file(tmp_path / "nothing.h5")


@contextmanager
def forged(features: FeatureFile) -> Iterator[h5py.File]:
    """Change a file and write a new digest, so that only the checks after it can fail."""
    with h5py.File(features.path, "r+") as file:
        yield file
    write_digest(features.path, SCHEMA, [features.audio.byte_range, features.text.byte_range])


def test_a_file_without_a_digest_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "features.h5", "w", userblock_size=SIZE) as file:
        file.attrs["complete"] = 1
    with pytest.raises(DataError, match="one that was never finished"):
        open_feature_file(tmp_path / "features.h5")


def test_another_file_with_a_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "features.h5"
    path.write_bytes(b"rubbish" * 500)
    write_digest(path, SCHEMA, [])
    with pytest.raises(DataError, match=r"not an HDF5 feature file \(.*signature not found"):
        open_feature_file(path)


def test_rows_at_other_positions_than_in_the_digest_are_refused(features: FeatureFile) -> None:
    write_digest(features.path, SCHEMA, [features.audio.byte_range])
    with pytest.raises(DataError, match="the rows are not at the positions in the digest"):
        open_feature_file(features.path)


@pytest.mark.parametrize("name", ["hop", "fingerprint", "complete", "digest"])
def test_changed_attributes_are_found(features: FeatureFile, name: str) -> None:
    with h5py.File(features.path, "r+") as file:
        file.attrs[name] = 2.0
    with pytest.raises(DataError, match="header or index have changed on disk|truncated"):
        open_feature_file(features.path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("complete", 0, "was never finished"),
        ("complete", None, "attribute 'complete' is None, not a int"),
        ("hop", "fast", "attribute 'hop' is 'fast', not a float"),
        ("hop", -1.0, r"not an HDF5 feature file \(hop -1.0 and widths 4, 3 must be above 0\)"),
    ],
)
def test_wrong_attributes_are_refused(features: FeatureFile, name: str, value: object, message: str) -> None:
    with forged(features) as file:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    with pytest.raises(DataError, match=message):
        open_feature_file(features.path)


def replace(file: h5py.File, name: str, value: object, **options: object) -> None:
    del file[name]
    file.create_dataset(name, data=value, **options)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "audio/offset",
            np.array([0, 3, 2, 6, 10]),
            "audio/offset does not rise from 0 to 10, the number of rows",
        ),
        (
            "audio/offset",
            np.array([0, 1, 3, 6, 99]),
            "audio/offset does not rise from 0 to 10, the number of rows",
        ),
        ("audio/offset", np.array([0, 1, 3, 10]), "sizes in 'audio' do not fit together"),
        ("audio/offset", np.zeros(5, np.float32), "no data set 'audio/offset' of the right type"),
        ("audio/rows", np.zeros((10, 5), np.float32), "sizes in 'audio' do not fit together"),
        ("audio/rows", np.zeros((10, 4), np.float64), "no data set 'audio/rows' of the right type"),
        ("audio/rows", np.zeros((10, 4), np.float16), "the rows of audio and text have different types"),
        ("text/id", np.array([1, 2]), "no data set 'text/id' of the right type"),
    ],
)
def test_a_wrong_index_is_refused(features: FeatureFile, name: str, value: object, message: str) -> None:
    with forged(features) as file:
        replace(file, name, value)
    with pytest.raises(DataError, match=message):
        open_feature_file(features.path)


def test_a_missing_data_set_is_refused(features: FeatureFile) -> None:
    with forged(features) as file:
        del file["text/rows"]
    with pytest.raises(DataError, match="no data set 'text/rows' of the right type"):
        open_feature_file(features.path)


def test_rows_in_pieces_are_refused(features: FeatureFile) -> None:
    with forged(features) as file:
        replace(file, "audio/rows", file["audio/rows"][()], chunks=(2, 4))
    with pytest.raises(DataError, match="'audio/rows' is not stored in one piece in this file"):
        open_feature_file(features.path)


def test_links_into_other_files_are_refused(features: FeatureFile, tmp_path: Path) -> None:
    written(tmp_path / "other.h5")
    with forged(features) as file:
        del file["audio"]
        file["audio"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "audio")
    with pytest.raises(DataError, match="no data set 'audio/rows' of the right type"):
        open_feature_file(features.path)


def test_huge_claims_are_refused(features: FeatureFile) -> None:
    with forged(features) as file:
        del file["audio/offset"]
        file["audio"].create_dataset("offset", (10**13,), "<i8")
    with pytest.raises(DataError, match="'audio/offset' is not stored in one piece in this file"):
        open_feature_file(features.path)


def test_a_flipped_byte_in_the_rows_is_found_by_verify(features: FeatureFile) -> None:
    data = bytearray(features.path.read_bytes())
    data[features.audio.start + 4 * 4 + 1] ^= 1
    features.path.write_bytes(data)
    with pytest.raises(DataError, match=r"audio/rows of item 1 \('été 🎵'\) have changed on disk"):
        open_feature_file(features.path).verify()


DAMAGES = (
    *(byte_changes.flip_bits, byte_changes.set_bytes, byte_changes.truncate, byte_changes.insert_bytes),
    *(byte_changes.delete_block, byte_changes.repeat_block, byte_changes.move_block),
    *(byte_changes.set_integer, byte_changes.append_bytes, byte_changes.replace_all),
)


@pytest.mark.parametrize("damage", DAMAGES, ids=[damage.__name__ for damage in DAMAGES])
def test_a_damaged_file_is_refused_or_has_the_right_content(
    features: FeatureFile, damage: byte_changes.Change
) -> None:
    data = features.path.read_bytes()
    before = [features.audio.flat.copy(), features.text.flat.copy()]
    rng = random.Random(damage.__name__)
    refused, other = 0, features.path.with_name("other.h5")
    cases = 600 if damage is byte_changes.flip_bits else 60
    for _ in range(cases):
        other.write_bytes(damage(data, rng))
        try:
            opened = open_feature_file(other)
            opened.verify()
        except DataError:
            refused += 1
            continue
        assert opened.header == features.header
        assert (opened.audio.ids, opened.text.ids) == (features.audio.ids, features.text.ids)
        np.testing.assert_array_equal(opened.audio.flat, before[0])
        np.testing.assert_array_equal(opened.text.flat, before[1])
    assert refused > cases / 2


def test_a_locked_file_is_read(features: FeatureFile) -> None:
    with features.path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        np.testing.assert_array_equal(open_feature_file(features.path).audio.flat, features.audio.flat)


@pytest.mark.parametrize("closed", ["file", "folder"])
def test_a_file_that_may_not_be_read_is_named(features: FeatureFile, closed: str) -> None:
    path = features.path if closed == "file" else features.path.parent
    with (
        with_mode(path, 0),
        pytest.raises(DataError, match=r"features.h5: cannot be read \(Permission denied\). Check the path"),
    ):
        open_feature_file(features.path)


def test_rows_that_can_no_longer_be_read_are_named(features: FeatureFile) -> None:
    opened = open_feature_file(features.path)
    features.path.unlink()
    with pytest.raises(DataError, match=r"features.h5: cannot be read \(No such file or directory\)"):
        opened.verify()


@pytest.mark.parametrize("change", [{"hop": 0.0}, {"hop": float("nan")}, {"audio_width": 0}])
def test_a_header_needs_positive_numbers(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        dataclasses.replace(HEADER, **change)  # type: ignore[arg-type]
