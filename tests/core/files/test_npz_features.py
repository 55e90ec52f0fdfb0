from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from amrbench.errors import DataError
from amrbench.files.npz_features import read_rows


def saved(tmp_path: Path, **arrays: object) -> Path:
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    return tmp_path / "x.npz"


def test_half_precision_and_pooled_features_are_read(tmp_path: Path) -> None:
    rows = read_rows(saved(tmp_path, features=np.arange(4, dtype=np.float16)), "features", 4)
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            np.ones((2, 5), np.float32),
            r"'features' has shape \(2, 5\), not \(1 or more, 4\). Use the features",
        ),
        (np.ones((0, 4), np.float32), r"'features' has shape \(0, 4\)"),
        (np.ones((1, 2, 4), np.float32), r"'features' has shape \(1, 2, 4\)"),
        (np.ones((2, 4), np.int64), "'features' holds int64 values, not floating-point features"),
        (np.array(["a"]), "'features' holds <U1 values"),
        (np.full((2, 4), np.nan, np.float32), "'features' is not finite in row 0; extract or copy"),
        (np.full((2, 4), 1e300), "'features' is not finite in row 0"),
        (np.array([{}]), "'features' cannot be read .*; no pickled objects are accepted"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(DataError, match=rf"x.npz: {message}"):
        read_rows(saved(tmp_path, features=value), "features", 4)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="x.npz: there is no array 'features'; the file holds 'b', 'feature'"):
        read_rows(saved(tmp_path, feature=1, b=2), "features", 4)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="x.npz: there is no such feature file"):
        read_rows(tmp_path / "x.npz", "features", 4)


@pytest.mark.parametrize("fraction", [0.1, 0.6, 0.95])
def test_truncated_files_are_refused(tmp_path: Path, fraction: float) -> None:
    path = saved(tmp_path, features=np.ones((50, 4), np.float32))
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    with pytest.raises(DataError, match="x.npz: 'features' cannot be read"):
        read_rows(path, "features", 4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty. Copy or download it again."),
        (b"404: Not Found", 'is text: "404: Not Found". Copy or download the right file.'),
        (b"\x80\x04]\x94.", "is a pickle. Save the numbers as .npz, with numpy.savez."),
        (b"\x93NUMPY", "'features' cannot be read (one array, not an archive of named arrays)."),
        (b"\x01\xff", "'features' cannot be read (not an .npz file). Copy or download the file again."),
    ],
)
def test_other_files_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    with pytest.raises(DataError) as error:
        read_rows(path, "features", 4)
    assert str(error.value).startswith(f"{path}: {message}")


def test_files_of_torch_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x/data.pkl", b"x")
    with pytest.raises(DataError) as error:
        read_rows(tmp_path / "x.npz", "features", 4)
    assert str(error.value) == (
        f"{tmp_path}/x.npz: is a file of torch.save, which is not read. Save the numbers as .npz, with "
        "numpy.savez."
    )


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, np.ones((2, 4), np.float32))
    with pytest.raises(DataError, match=r"cannot be read \(one array, not an archive of named arrays\)"):
        read_rows(tmp_path / "x.npz", "features", 4)


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    path = saved(tmp_path, features=np.ones((50, 4), np.float32))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="x.npz: 'features' cannot be read .*CRC"):
        read_rows(path, "features", 4)


def test_huge_claims_are_refused(tmp_path: Path) -> None:
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    header += b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000, 4)}".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("features.npy", header)
    with pytest.raises(
        DataError, match="x.npz: 'features' would have 160,000,000,000,000 bytes; features of one"
    ):
        read_rows(tmp_path / "x.npz", "features", 4)


def test_an_array_that_unpacks_to_much_more_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (200_000, 768)}
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("features.npy", "w") as file,
    ):
        npy.write_array_header_1_0(file, header)
        file.write(bytes(1 << 22))
    with pytest.raises(DataError, match="would have 614,400,000 bytes"):
        read_rows(tmp_path / "x.npz", "features", 768)


def test_the_number_of_rows_may_be_refused_before_they_are_read(tmp_path: Path) -> None:
    def refuse(count: int) -> None:
        raise DataError(f"{count} rows")

    np.savez(tmp_path / "x.npz", features=np.zeros((7, 4), np.float32))
    with pytest.raises(DataError, match="^7 rows$"):
        read_rows(tmp_path / "x.npz", "features", 4, refuse)
