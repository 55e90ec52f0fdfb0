from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.files.feature_file_writer import ConcatTable, InMemoryTable, SelectedTable, write_feature_file
from tests.core.files.feature_files import HEADER, SENTENCES, broken_rows, items, written


def test_same_content_gives_same_bytes_later(tmp_path: Path) -> None:
    written(tmp_path / "a.h5")
    time.sleep(1.1)
    written(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_concatenated_tables_equal_one_table(tmp_path: Path) -> None:
    table = items(("a", "b", "c", "d", "e"), 4)
    first, third, rest = (
        InMemoryTable(table.ids[part], table.rows[part]) for part in (slice(0, 2), slice(2, 3), slice(3, 5))
    )
    from_file = written(tmp_path / "rest.h5", audio=rest).audio
    parts = ConcatTable((first, InMemoryTable(), third, from_file))
    one = written(tmp_path / "one.h5", audio=table)
    write_feature_file(tmp_path / "many.h5", HEADER, audio=parts, text=items(SENTENCES, 3))
    assert one.path.read_bytes() == (tmp_path / "many.h5").read_bytes()


def test_selected_items_have_new_names_and_may_repeat() -> None:
    table = items(("a", "b", "c"), 4)
    selected = SelectedTable(table, {"x": "c", "y": "a", "z": "c"})
    assert selected.ids == ("x", "y", "z")
    assert selected.lengths.tolist() == [3, 1, 3]
    for index, original in enumerate((2, 0, 2)):
        np.testing.assert_array_equal(selected.item(index), table.rows[original])


def test_items_of_more_rows_than_a_block_are_written(tmp_path: Path) -> None:
    lengths = (1, 5000, 3, 4096, 4095, 2)
    rows = [np.full((length, 4), number, np.float32) for number, length in enumerate(lengths)]
    features = written(tmp_path / "features.h5", audio=InMemoryTable(tuple("abcdef"), tuple(rows)))
    features.verify()
    np.testing.assert_array_equal(features.audio.flat, np.concatenate(rows))


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


def test_repeated_ids_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="audio id 'a' is repeated"):
        written(tmp_path / "features.h5", audio=items(("a", "b", "a"), 4))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"features.h5: cannot be written \(.*\). Check the folder"):
        written(tmp_path / "no" / "features.h5")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = written(tmp_path / "features.h5").path
    before = path.read_bytes()
    with pytest.raises(DataError, match="not finite"):
        written(path, audio=broken_rows(np.nan))
    assert path.read_bytes() == before


def test_rows_in_half_precision_are_read_as_float32(tmp_path: Path) -> None:
    single, half = written(tmp_path / "single.h5"), written(tmp_path / "half.h5", half=True)
    half.verify()
    assert (single.header.half, half.header.half) == (False, True)
    assert half.audio.flat.dtype == np.float16
    assert 2 * half.audio.byte_range.size == single.audio.byte_range.size
    for name in half.audio.ids:
        rows = half.audio.rows(name)
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, single.audio.rows(name).astype(np.float16))
        np.testing.assert_allclose(rows, single.audio.rows(name), rtol=2**-11)
    assert half.text.rows(SENTENCES[0]).dtype == np.float32


def test_rows_in_half_precision_are_copied_bit_by_bit(tmp_path: Path) -> None:
    half = written(tmp_path / "half.h5", half=True)
    again = written(tmp_path / "again.h5", half=True, audio=half.audio, text=half.text)  # type: ignore[arg-type]
    assert half.path.read_bytes() == again.path.read_bytes()


def test_rows_beyond_half_precision_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        written(tmp_path / "features.h5", half=True, audio=broken_rows(65_520))
    assert str(error.value) == (
        f"{tmp_path}/features.h5: audio features of 'bad' are beyond 65,504 in row 1, which half precision "
        "cannot hold. Extract them in single precision."
    )
    assert not list(tmp_path.iterdir())
