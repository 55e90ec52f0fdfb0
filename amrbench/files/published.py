"""Features in the published layout: one .npz file for each recording and each query.

    <folder>/<backend>/<vid>.npz            key `features`           (T, Da)
    <folder>/<backend>_text/qid<qid>.npz    key `last_hidden_state`  (L, Dt), or (Dt,) for pooled encoders

Nothing in these files is unpickled.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
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
    OSError, ValueError, EOFError, KeyError, TypeError, MemoryError, SyntaxError, NotImplementedError,
    OverflowError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


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


def rows_in(file: IO[bytes], place: str, *, key: str, width: int) -> Rows:
    """Read feature rows (n, width) from an open .npz or .npy file, n at least 1; see `read_rows`.

    Args:
        file: Opened for reading at any place.
        place: What messages call it; its end tells .npy, which holds one array without a name.
        key: Name of the array in a .npz file.
        width: Of the rows.
    """
    rows = _array(file, place, key)
    if rows.dtype.kind != "f":
        raise DataError(f"{place}: {key!r} holds {rows.dtype} values, not floating-point features.")
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise DataError(
            f"{place}: {key!r} has shape {rows.shape}, not (1 or more, {width}). "
            "Use the features of the encoder that the model was trained with."
        )
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(rows, np.float32)
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise DataError(f"{place}: {key!r} is not finite in row {broken[0]}; extract or copy the file again.")
    return rows


def _array(file: IO[bytes], place: str, key: str) -> NDArray[Any]:
    try:
        archive = np.load(file, allow_pickle=False)
        if place.endswith(".npy") and isinstance(archive, np.ndarray):
            return archive
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("one array, not an archive of named arrays")
        if key not in archive:
            raise DataError(f"{place}: there is no array {key!r}; the file holds {_listed(archive)}.")
        return np.asarray(archive[key])
    except _DAMAGE as error:
        raise DataError(
            f"{place}: {key!r} cannot be read ({error}); no pickled objects are accepted. "
            "Copy or download the file again."
        ) from error


def _listed(names: Iterable[str]) -> str:
    return some(sorted(names)) or "nothing"
