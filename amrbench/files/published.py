"""Features in the published layout: one .npz file for each recording and each query.

    <folder>/<backend>/<vid>.npz            key `features`           (T, Da)
    <folder>/<backend>_text/qid<qid>.npz    key `last_hidden_state`  (L, Dt), or (Dt,) for pooled encoders

Nothing in these files is unpickled.
"""

from __future__ import annotations

import hashlib
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from amrbench.annotations import Query, safe_id
from amrbench.errors import DataError, some
from amrbench.types import Widths

Rows = NDArray[np.float32]

AUDIO_KEY = "features"
TEXT_KEY = "last_hidden_state"
# What numpy and the zip module raise on damaged bytes.
_DAMAGE = (
    OSError, ValueError, EOFError, LookupError, TypeError, MemoryError, SyntaxError, NotImplementedError,
    OverflowError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    tokenize.TokenError,
)  # fmt: skip
_NPY = b"\x93NUMPY"
_HEADER = 1 << 14
"""More bytes than numpy reads of the header of an array; a damaged one may claim gigabytes."""


def _any_number(count: int) -> None:
    """Accept any number of rows."""


@dataclass(frozen=True, eq=False)
class PublishedFeatures:
    """Queries, and the folder of their features; a `Source` of a split."""

    folder: Path
    audio_backend: str
    text_backend: str
    queries: Sequence[Query]
    widths: Widths
    hop: float
    """Seconds between two audio rows; the files do not say."""

    @property
    def place(self) -> str:
        """Return where the data lies, for messages."""
        return str(self.folder)

    @property
    def encoder(self) -> str:
        """Return the names of the folders."""
        return f"published {self.audio_backend} {self.text_backend}"

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of names, sizes and queries; the files are not read for it."""
        digest = hashlib.sha256(repr((self.encoder, self.hop, [*self.queries])).encode())
        for path in self._files():
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        return digest.hexdigest()[:24]

    def check(self) -> None:
        """Look whether all files are there.

        Raises:
            DataError: Files are missing, or an id cannot be the name of a file.
        """
        missing = [path for path in self._files() if not path.is_file()]
        if missing:
            names = some(str(path.relative_to(self.folder)) for path in missing)
            raise DataError(
                f"{self.folder}: {len(missing)} feature files are missing: {names}. "
                "Give the folder that holds them, or annotations that fit."
            )

    def audio(self, vid: str) -> Rows:
        """Return (T, Da) of a recording."""
        return read_rows(self._audio_file(vid), AUDIO_KEY, self.widths.audio)

    def text_key(self, query: Query) -> str:
        """Return the id of the query; each has a file of its own."""
        return str(query.qid)

    def text(self, query: Query) -> Rows:
        """Return (L, Dt) of a query."""
        return read_rows(self._text_file(query), TEXT_KEY, self.widths.text)

    def _files(self) -> list[Path]:
        audio = {query.vid: self._audio_file(query.vid) for query in self.queries}
        return [*audio.values(), *(self._text_file(query) for query in self.queries)]

    def _audio_file(self, vid: str) -> Path:
        return self.folder / safe_id(self.audio_backend) / f"{safe_id(vid)}.npz"

    def _text_file(self, query: Query) -> Path:
        return self.folder / safe_id(f"{self.text_backend}_text") / f"qid{safe_id(query.qid)}.npz"


def read_rows(path: Path, key: str, width: int) -> Rows:
    """Read feature rows (n, width) from a .npz file, n at least 1.

    Raises:
        DataError: The file is missing, damaged or holds Python objects, or the rows have a wrong type or
            shape or are not finite.
    """
    try:
        with path.open("rb") as file:
            return rows_in(file, str(path), key=key, width=width)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such feature file. Check the folder and the ids.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error


def rows_in(
    file: IO[bytes], place: str, *, key: str, width: int, check: Callable[[int], None] = _any_number
) -> Rows:
    """Read feature rows (n, width) from an open .npz or .npy file, n at least 1; see `read_rows`.

    Args:
        file: Opened for reading at its beginning.
        place: What messages call it; its end tells .npy, which holds one array without a name.
        key: Name of the array in a .npz file.
        width: Of the rows.
        check: Called with n before the rows are read; raises DataError where n cannot be.
    """
    wanted = _Wanted(place, key, width, check)
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(np.atleast_2d(_array(file, wanted)), np.float32)
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise DataError(f"{place}: {key!r} is not finite in row {broken[0]}; extract or copy the file again.")
    return rows


@dataclass(frozen=True)
class _Wanted:
    """An array that is looked for; see `rows_in`."""

    place: str
    key: str
    width: int
    check: Callable[[int], None]

    def refuse(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
        """Raise DataError for an array that holds no such rows, before it is read."""
        if kind.hasobject:
            raise ValueError("it holds Python objects; no pickled objects are accepted")
        if kind.kind != "f":
            raise DataError(f"{self.place}: {self.key!r} holds {kind} values, not floating-point features.")
        rows = (1, *shape) if len(shape) == 1 else shape
        if len(rows) != 2 or rows[1] != self.width or rows[0] < 1:
            raise DataError(
                f"{self.place}: {self.key!r} has shape {shape}, not (1 or more, {self.width}). "
                "Use the features of the encoder that the model was trained with."
            )
        self.check(rows[0])


def _array(file: IO[bytes], wanted: _Wanted) -> NDArray[Any]:
    try:
        start = file.read(len(_NPY))
        file.seek(0)
        if start != _NPY:
            return _named(file, start, wanted)
        if not wanted.place.endswith(".npy"):
            raise ValueError("one array, not an archive of named arrays")
        return _read(lambda: nullcontext(file), wanted)
    except _DAMAGE as error:
        raise DataError(
            f"{wanted.place}: {wanted.key!r} cannot be read ({error}). Copy or download the file again."
        ) from error


def _named(file: IO[bytes], start: bytes, wanted: _Wanted) -> NDArray[Any]:
    if not start.startswith(b"PK"):
        raise ValueError("not an .npz file")
    with zipfile.ZipFile(file) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if wanted.key not in names:
            raise DataError(
                f"{wanted.place}: there is no array {wanted.key!r}; the file holds {_listed(names)}."
            )
        return _read(lambda: archive.open(f"{wanted.key}.npy"), wanted)


def _read(opened: Callable[[], AbstractContextManager[IO[bytes]]], wanted: _Wanted) -> NDArray[Any]:
    """Look at the header first: a small archive may hold gigabytes of zeros."""
    with opened() as file:
        head = BytesIO(file.read(_HEADER))
    first = np.lib.format.read_magic(head) == (1, 0)
    layout = np.lib.format
    shape, _, kind = (layout.read_array_header_1_0 if first else layout.read_array_header_2_0)(head)
    wanted.refuse(shape, kind)
    with opened() as file:
        file.seek(0)
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _listed(names: Iterable[str]) -> str:
    return some(sorted(names)) or "nothing"
