"""Read any samples of a recording from a decoder that goes through it in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Channels = NDArray[np.float32]
"""(samples, channels)"""

BLOCK = 1 << 16
"""Samples that are decoded at a time."""
_KEPT = 1 << 23
"""Samples that are kept after they were read: three minutes at 44.1 kHz."""


class ForwardReader:
    """Keeps some minutes of what was read; going back further begins anew.

    Audio windows that overlap are so decoded once, and memory does not grow with the recording.
    """

    def __init__(self, decode: Callable[[], Iterator[Channels]], kept: int = _KEPT) -> None:
        """Take a function that decodes from the beginning, in blocks that are not empty."""
        self._decode = decode
        self._most = kept
        self._begin()

    def read(self, start: int, size: int) -> Channels:
        """Return some samples, (size, channels); fewer if decoding ends before."""
        if start < self._start:
            self._begin()
        while self._end < start + size and (block := next(self._coming, None)) is not None:
            self._kept.append(block)
            self._end += len(block)
            while self._kept and self._start + len(self._kept[0]) <= start - self._most:
                self._start += len(self._kept.popleft())
        parts = list(self._parts(start, start + size))
        return np.concatenate(parts) if parts else np.empty((0, 1), np.float32)

    def _begin(self) -> None:
        self._coming = self._decode()
        self._kept: deque[Channels] = deque()
        self._start = self._end = 0

    def _parts(self, start: int, stop: int) -> Iterator[Channels]:
        """Yield what is kept of the samples from one to another."""
        position = self._start
        for block in self._kept:
            if position < stop and position + len(block) > start:
                yield block[max(0, start - position) : stop - position]
            position += len(block)


def in_blocks(pieces: Iterable[Channels]) -> Iterator[Channels]:
    """Join short pieces to blocks."""
    joined: list[Channels] = []
    for piece in pieces:
        joined.append(piece)
        if sum(map(len, joined)) >= BLOCK:
            yield np.concatenate(joined)
            joined = []
    if joined:
        yield np.concatenate(joined)
