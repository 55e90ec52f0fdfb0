"""Ranges of a file, and bytes that stand between them, as one file that can be read."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Piece = bytes | range
"""Bytes, or the positions of bytes in a file."""


class FileView(io.RawIOBase):
    """Pieces of a file, read one after another."""

    def __init__(self, path: Path, pieces: Sequence[Piece]) -> None:
        """Open the file.

        Raises:
            OSError: The file cannot be opened.
        """
        self._pieces = [piece for piece in pieces if len(piece)]
        self._ends = list(accumulate(map(len, self._pieces)))
        self._position = 0
        self._file = os.open(path, os.O_RDONLY)

    @override
    def close(self) -> None:
        if not self.closed:
            os.close(self._file)
        super().close()

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self._ends[-1] if self._ends else 0
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: size}[whence]
        self._position = max(0, start + offset)
        return self._position

    @override
    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(target) and (part := self._next(len(target) - filled)):
            target[filled : filled + len(part)] = part
            filled += len(part)
            self._position += len(part)
        return filled

    def _next(self, size: int) -> bytes:
        """Return at most so many bytes at the position, from one piece; none at the end."""
        index = bisect_right(self._ends, self._position)
        if index == len(self._pieces):
            return b""
        piece = self._pieces[index]
        first = self._position - (self._ends[index] - len(piece))
        part = piece[first : first + size]
        return os.pread(self._file, len(part), part.start) if isinstance(part, range) else part
