"""Feature rows in .npz and .npy files, the formats of published features. Nothing is unpickled."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from amrbench.errors import DataError, some, unreadable
from amrbench.files.file_kind import HEAD
from amrbench.files.wrong_content import wrong_content
from amrbench.types import Rows

AUDIO_KEY = "features"
TEXT_KEY = "last_hidden_state"
# Raised by numpy and the zip module on damaged bytes.
_DAMAGE = (
    OSError, ValueError, EOFError, LookupError, TypeError, MemoryError, SyntaxError, NotImplementedError,
    OverflowError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    tokenize.TokenError,
)  # fmt: skip
LARGEST_ARRAY = 1 << 28
"""Bytes of an array; the features of a day, one row of 768 numbers a second, have nearly as many."""
_HEADER = 1 << 14  # bytes; longer than any header that numpy accepts, and a damaged one may claim gigabytes


def read_rows(path: Path, key: str, width: int, check: Callable[[int], None] | None = None) -> Rows:
    """Read feature rows (n, width) from a .npz file, n at least 1; see `rows_in` for `check`.

    Raises:
        DataError: The file is missing, damaged or holds Python objects, or the rows have a wrong type or
            shape or are not finite.
    """
    try:
        with path.open("rb") as file:
            return rows_in(file, str(path), key=key, width=width, check=check)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such feature file. Check the folder and the ids.") from None
    except OSError as error:
        raise unreadable(path, error) from error


def rows_in(
    file: IO[bytes], location: str, *, key: str, width: int, check: Callable[[int], None] | None = None
) -> Rows:
    """Read feature rows (n, width) from an open .npz or .npy file, n at least 1; see `read_rows`.

    Args:
        file: Opened for reading, at its beginning.
        location: Its name in messages; if it ends in .npy, the file is one array without a key.
        key: Name of the array in a .npz file.
        width: Width of the rows.
        check: If given, called with n before the rows are read; raises DataError to refuse them.
    """
    expected = ExpectedArray(location, key, width, check)
    try:
        head = file.read(HEAD)
        file.seek(0)
        if head.startswith(npy.MAGIC_PREFIX) and location.lower().endswith(".npy"):
            array = expected.read(lambda: nullcontext(file))
        elif head.startswith(npy.MAGIC_PREFIX):
            raise ValueError("one array, not an archive of named arrays")
        elif not head.startswith(b"PK"):
            if wrong := wrong_content(head):
                raise DataError(f"{location}: {wrong}")
            raise ValueError("not an .npz file")
        else:
            with zipfile.ZipFile(file) as archive:
                _refuse_other_arrays(location, key, archive.namelist())
                array = expected.read(lambda: archive.open(f"{key}.npy"))
    except _DAMAGE as error:
        raise DataError(
            f"{location}: {key!r} cannot be read ({error}). Copy or download the file again."
        ) from error
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(np.atleast_2d(array), np.float32)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{location}: {key!r} is not finite in row {finite.argmin()}; extract or copy the file again."
        )
    return rows


def _refuse_other_arrays(location: str, key: str, members: Sequence[str]) -> None:
    """Raise DataError for a ZIP archive without the array."""
    if any(PurePosixPath(name).name == "data.pkl" for name in members):
        raise DataError(
            f"{location}: is a file of torch.save, which is not read. Save the numbers as .npz, with "
            "numpy.savez."
        )
    names = sorted(name.removesuffix(".npy") for name in members if name.endswith(".npy"))
    if key not in names:
        raise DataError(
            f"{location}: there is no array {key!r}; the file holds {some(names) or 'no arrays'}."
        )


@dataclass(frozen=True)
class ExpectedArray:
    """What an array must be; see `rows_in`."""

    location: str
    key: str
    width: int
    check: Callable[[int], None] | None

    def read(self, opened: Callable[[], AbstractContextManager[IO[bytes]]]) -> NDArray[Any]:
        """Read an array after its header was checked: a small archive may hold gigabytes of zeros."""
        with opened() as file:
            head = BytesIO(file.read(_HEADER))
        version_1 = npy.read_magic(head) == (1, 0)
        shape, _, kind = (npy.read_array_header_1_0 if version_1 else npy.read_array_header_2_0)(head)
        self.refuse(shape, kind)
        with opened() as file:
            file.seek(0)
            array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
        return array

    def refuse(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
        """Raise DataError or ValueError for an array of another shape or type, before it is read."""
        if kind.hasobject:
            raise ValueError("it holds Python objects; no pickled objects are accepted")
        if kind.kind != "f":
            raise DataError(
                f"{self.location}: {self.key!r} holds {kind} values, not floating-point features."
            )
        rows = (1, *shape) if len(shape) == 1 else shape
        if len(rows) != 2 or rows[1] != self.width or rows[0] < 1:
            raise DataError(
                f"{self.location}: {self.key!r} has shape {shape}, not (1 or more, {self.width}). "
                "Use the features of the encoder that the model was trained with."
            )
        if self.check is not None:
            self.check(rows[0])
        if (size := rows[0] * rows[1] * kind.itemsize) > LARGEST_ARRAY:
            raise DataError(
                f"{self.location}: {self.key!r} would have {size:,} bytes; features of one recording or "
                f"query have at most {LARGEST_ARRAY:,}. Extract, copy or download the file again."
            )
