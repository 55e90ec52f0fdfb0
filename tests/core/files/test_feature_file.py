from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.files.feature_file import SCHEMA, FeatureFile, FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import ConcatTable, InMemoryTable, write_feature_file
from amrbench.files.file_digest import SIZE, ByteRange, write_digest

HEADER = FeatureHeader("toy", "toy-features", "f00", 1.0, 4, 3)
NAMES = ("-dash", "été 🎵", "x" * 150, "a b/c")


def items(names: tuple[str, ...], width: int, seed: int = 0) -> InMemoryTable:
    rng = np.random.default_rng(seed)
    lengths = range(1, len(names) + 1)
    return InMemoryTable(
        names, tuple(rng.normal(size=(length, width)).astype(np.float32) for length in lengths)
    )


def written(path: Path, **changes: InMemoryTable) -> FeatureFile:
    tables = {"audio": items(NAMES, 4), "text": items(("a dog", "un été"), 3)} | changes
    write_feature_file(path, HEADER, audio=tables["audio"], text=tables["text"])
    return open_feature_file(path)


@pytest.fixture
def store(tmp_path: Path) -> FeatureFile:
    return written(tmp_path / "features.h5")


def test_what_is_written_is_read_bit_by_bit(store: FeatureFile) -> None:
    audio = items(NAMES, 4)
    assert store.audio.ids == NAMES
    assert store.header == HEADER
    for name, rows in zip(audio.ids, audio.rows, strict=True):
        np.testing.assert_array_equal(store.audio.rows(name), rows)
    np.testing.assert_array_equal(store.text.flat, np.concatenate(items(("a dog", "un été"), 3).rows))
    assert store.audio.lengths.tolist() == [1, 2, 3, 4]
    store.verify()


def test_the_file_is_plain_hdf5(store: FeatureFile) -> None:
    with h5py.File(store.path) as file:
        assert file.attrs["schema"] == "amrbench.features/1"
        assert file["audio/id"].asstr()[()].tolist() == list(NAMES)
        rows = file["audio/rows"][()]
        offsets = file["audio/offset"][()]
    for place, name in enumerate(NAMES):
        np.testing.assert_array_equal(rows[offsets[place] : offsets[place + 1]], store.audio.rows(name))


def test_same_content_gives_same_bytes_later(tmp_path: Path) -> None:
    written(tmp_path / "a.h5")
    time.sleep(1.1)
    written(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_joined_tables_equal_one_table(tmp_path: Path) -> None:
    whole = items(("a", "b", "c", "d", "e"), 4)
    parts = ConcatTable(
        (InMemoryTable(whole.ids[:2], whole.rows[:2]), InMemoryTable(), InMemoryTable(whole.ids[2:3], whole.rows[2:3]),
         written(tmp_path / "rest.h5", audio=InMemoryTable(whole.ids[3:], whole.rows[3:])).audio)
    )  # fmt: skip
    one = written(tmp_path / "one.h5", audio=whole)
    write_feature_file(tmp_path / "many.h5", HEADER, audio=parts, text=items(("a dog", "un été"), 3))
    assert one.path.read_bytes() == (tmp_path / "many.h5").read_bytes()


def test_an_empty_group_is_fine(tmp_path: Path) -> None:
    store = written(tmp_path / "features.h5", text=InMemoryTable())
    store.verify()
    assert store.text.flat.shape == (0, 3)


def test_ten_thousand_items(tmp_path: Path) -> None:
    rows = np.arange(80_000, dtype=np.float32).reshape(10_000, 2, 4)
    store = written(tmp_path / "many.h5", audio=InMemoryTable(tuple(map(str, range(10_000))), tuple(rows)))
    np.testing.assert_array_equal(store.audio.rows("7777"), rows[7777])
    assert store.audio.flat.shape == (20_000, 4)


def test_rows_are_mapped_and_read_only(store: FeatureFile) -> None:
    assert isinstance(store.audio.rows("-dash").base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.audio.rows("-dash")[0, 0] = 1


def test_a_pickled_store_leaves_its_rows_behind(tmp_path: Path) -> None:
    big = InMemoryTable(("a",), (np.ones((50_000, 4), np.float32),))
    store = written(tmp_path / "features.h5", audio=big)
    store.audio.rows("a")
    data = pickle.dumps(store)
    assert len(data) < 10_000
    np.testing.assert_array_equal(pickle.loads(data).audio.rows("a"), big.rows[0])


def _sum_of(store: FeatureFile, name: str, pipe: object) -> None:
    pipe.send(float(store.audio.rows(name).sum()))  # type: ignore[attr-defined]


def test_forked_processes_read_the_same(store: FeatureFile) -> None:
    store.audio.rows(NAMES[0])
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in NAMES]
    workers = [
        context.Process(target=_sum_of, args=(store, name, send))
        for name, (_, send) in zip(NAMES, pipes, strict=True)
    ]
    for worker in workers:
        worker.start()
    sums = [receive.recv() for receive, _ in pipes]
    for worker in workers:
        worker.join()
    assert sums == [float(store.audio.rows(name).sum()) for name in NAMES]


# ---------------------------------------------------------------- refused


def test_missing_ids_are_named_with_a_near_one(store: FeatureFile) -> None:
    with pytest.raises(DataError, match="no audio features of '-dahs' among 4 items. Did you mean '-dash'"):
        store.audio.rows("-dahs")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing.h5: there is no such feature file"):
        open_feature_file(tmp_path / "nothing.h5")


@contextmanager
def forged(store: FeatureFile) -> Iterator[h5py.File]:
    """Change a file and write_digest it again, so that only what HDF5 holds can be found wrong."""
    with h5py.File(store.path, "r+") as file:
        yield file
    write_digest(store.path, SCHEMA, [store.audio.stretch, store.text.stretch])


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncated_files_are_refused(store: FeatureFile, share: float) -> None:
    data = store.path.read_bytes()
    store.path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(
        DataError, match=rf"features.h5: truncated: \d+ bytes are left of {len(data)}. Delete"
    ):
        open_feature_file(store.path)


@pytest.mark.parametrize(
    "data", [b"", b"\x89HDF\r\n", b"not HDF5 at all" * 500, b'{"schema": 1}', b"[" * 100_000, b"7"]
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "features.h5"
    path.write_bytes(data)
    with pytest.raises(
        DataError, match="not a feature file, or one that was never finished. Delete the file"
    ):
        open_feature_file(path)


def test_an_unsealed_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "features.h5", "w", userblock_size=SIZE) as file:
        file.attrs["complete"] = 1
    with pytest.raises(DataError, match="one that was never finished"):
        open_feature_file(tmp_path / "features.h5")


def test_sealed_rubbish_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "features.h5"
    path.write_bytes(b"rubbish" * 500)
    write_digest(path, SCHEMA, [])
    with pytest.raises(DataError, match=r"not an HDF5 feature file \(.*signature not found"):
        open_feature_file(path)


def test_a_later_schema_is_refused(store: FeatureFile) -> None:
    write_digest(store.path, "amrbench.features/9", [store.audio.stretch, store.text.stretch])
    with pytest.raises(DataError, match="is 'amrbench.features/9'; this version reads 'amrbench.features/1'"):
        open_feature_file(store.path)


@pytest.mark.parametrize(
    "rows", [[ByteRange(10, 4)], [ByteRange(600, 40), ByteRange(620, 40)], [ByteRange(600, 10**9)]]
)
def test_rows_outside_the_file_are_refused(store: FeatureFile, rows: list[ByteRange]) -> None:
    write_digest(store.path, SCHEMA, rows)
    with pytest.raises(DataError, match="the write_digest puts rows where there are none"):
        open_feature_file(store.path)


def test_rows_elsewhere_are_refused(store: FeatureFile) -> None:
    write_digest(store.path, SCHEMA, [store.audio.stretch])
    with pytest.raises(DataError, match="the rows do not lie where the write_digest says"):
        open_feature_file(store.path)


@pytest.mark.parametrize("name", ["hop", "fingerprint", "complete", "digest"])
def test_changed_attributes_break_the_seal(store: FeatureFile, name: str) -> None:
    with h5py.File(store.path, "r+") as file:
        file.attrs[name] = 2.0
    with pytest.raises(DataError, match="header or index have changed on disk|truncated"):
        open_feature_file(store.path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("complete", 0, "was never finished"),
        ("complete", None, "attribute 'complete' is None, not a int"),
        ("hop", "fast", "attribute 'hop' is 'fast', not a float"),
        ("hop", -1.0, r"not an HDF5 feature file \(hop -1.0 and widths 4, 3 must be above 0\)"),
    ],
)
def test_wrong_attributes_are_refused(store: FeatureFile, name: str, value: object, message: str) -> None:
    with forged(store) as file:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    with pytest.raises(DataError, match=message):
        open_feature_file(store.path)


def replace(file: h5py.File, name: str, value: object, **options: object) -> None:
    del file[name]
    file.create_dataset(name, data=value, **options)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("audio/offset", np.array([0, 3, 2, 6, 10]), "audio/offset does not rise from 0 to 10"),
        ("audio/offset", np.array([0, 1, 3, 6, 99]), "audio/offset does not rise from 0 to 10"),
        ("audio/offset", np.array([0, 1, 3, 10]), "sizes in 'audio' do not fit together"),
        ("audio/offset", np.zeros(5, np.float32), "no data set 'audio/offset' of the right type"),
        ("audio/rows", np.zeros((10, 5), np.float32), "sizes in 'audio' do not fit together"),
        ("audio/rows", np.zeros((10, 4), np.float64), "no data set 'audio/rows' of the right type"),
        ("text/id", np.array([1, 2]), "no data set 'text/id' of the right type"),
    ],
)
def test_a_wrong_index_is_refused(store: FeatureFile, name: str, value: object, message: str) -> None:
    with forged(store) as file:
        replace(file, name, value)
    with pytest.raises(DataError, match=message):
        open_feature_file(store.path)


def test_a_missing_data_set_is_refused(store: FeatureFile) -> None:
    with forged(store) as file:
        del file["text/rows"]
    with pytest.raises(DataError, match="no data set 'text/rows' of the right type"):
        open_feature_file(store.path)


def test_rows_in_pieces_are_refused(store: FeatureFile) -> None:
    with forged(store) as file:
        replace(file, "audio/rows", file["audio/rows"][()], chunks=(2, 4))
    with pytest.raises(DataError, match="'audio/rows' is not stored whole in this file"):
        open_feature_file(store.path)


def test_links_into_other_files_are_refused(store: FeatureFile, tmp_path: Path) -> None:
    written(tmp_path / "other.h5")
    with forged(store) as file:
        del file["audio"]
        file["audio"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "audio")
    with pytest.raises(DataError, match="no data set 'audio/rows' of the right type"):
        open_feature_file(store.path)


def test_huge_claims_are_refused(store: FeatureFile) -> None:
    with forged(store) as file:
        del file["audio/offset"]
        file["audio"].create_dataset("offset", (10**13,), "<i8")
    with pytest.raises(DataError, match="'audio/offset' is not stored whole in this file"):
        open_feature_file(store.path)


def test_a_flipped_byte_in_the_rows_is_found_by_verify(store: FeatureFile) -> None:
    data = bytearray(store.path.read_bytes())
    data[store.audio.start + 4 * 4 + 1] ^= 1
    store.path.write_bytes(data)
    with pytest.raises(DataError, match=r"audio/rows of item 1 \('été 🎵'\) have changed on disk"):
        open_feature_file(store.path).verify()


def test_every_flipped_byte_that_changes_content_is_found(store: FeatureFile) -> None:
    data = store.path.read_bytes()
    before = [store.audio.flat.copy(), store.text.flat.copy()]
    rng = np.random.default_rng(5)
    refused = 0
    other = store.path.with_name("other.h5")
    for place in rng.choice(len(data), 600, replace=False):
        broken = bytearray(data)
        broken[place] ^= 1 << int(rng.integers(8))
        other.write_bytes(broken)
        try:
            found = open_feature_file(other)
            found.verify()
        except DataError:
            refused += 1
            continue
        assert found.header == store.header
        assert (found.audio.ids, found.text.ids) == (store.audio.ids, store.text.ids)
        np.testing.assert_array_equal(found.audio.flat, before[0])
        np.testing.assert_array_equal(found.text.flat, before[1])
    assert refused > 300


def broken_rows(value: float) -> InMemoryTable:
    rows = np.ones((3, 4), np.float32)
    rows[1, 2] = value
    return InMemoryTable(("ok", "bad"), (np.ones((2, 4), np.float32), rows))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(DataError, match="audio features of 'bad' are not finite in row 1"):
        written(tmp_path / "features.h5", audio=broken_rows(value))
    assert not list(tmp_path.iterdir())


def test_rows_too_large_for_float32_are_not_written(tmp_path: Path) -> None:
    rows = np.full((1, 4), 1e300)
    with pytest.raises(DataError, match="are not finite in row 0"):
        written(tmp_path / "features.h5", audio=InMemoryTable(("x",), (rows,)))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(2, 3), (0, 4), (4,)])
def test_rows_of_a_wrong_shape_are_not_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"audio features of 'x' have shape .*, not \(1 or more, 4\)"):
        written(tmp_path / "features.h5", audio=InMemoryTable(("x",), (np.ones(shape, np.float32),)))


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"])
def test_ids_that_hdf5_cannot_hold_are_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="audio id .* cannot be stored"):
        written(tmp_path / "features.h5", audio=InMemoryTable((name,), (np.ones((1, 4), np.float32),)))


def test_ids_that_stand_twice_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="audio id 'a' stands twice"):
        written(tmp_path / "features.h5", audio=items(("a", "b", "a"), 4))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"features.h5: cannot be written \(.*\). Check the folder"):
        written(tmp_path / "no" / "features.h5")


def test_a_failed_write_leaves_the_old_file(store: FeatureFile) -> None:
    before = store.path.read_bytes()
    with pytest.raises(DataError, match="not finite"):
        written(store.path, audio=broken_rows(np.nan))
    assert store.path.read_bytes() == before


@pytest.mark.parametrize("change", [{"hop": 0.0}, {"hop": float("nan")}, {"audio_width": 0}])
def test_headers_without_sense_cannot_be_made(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        dataclasses.replace(HEADER, **change)  # type: ignore[arg-type]
