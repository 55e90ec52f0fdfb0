"""Whether an audio file ends too early, where libsndfile reads it as a shorter recording.

Of FLAC and MP3 it tells, when they are decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CHECKED = frozenset({"WAV", "WAVEX", "RF64", "AIFF", "AU", "W64", "CAF", "FLAC", "OGG", "MP3"})
"""Formats, as libsndfile calls them, whose truncated files are told from whole ones."""
_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
"""What a header says that was written before the length was known."""
_PAGE_HEAD = 27
_LONGEST_PAGE = _PAGE_HEAD + 255 + 255 * 255
_LAST_PAGE = 4


@dataclass(frozen=True)
class _Chunked:
    """A container that is a list of chunks.

    Attributes:
        begin: Bytes before the first chunk.
        head: Layout of what each chunk begins with: its name and its length.
        audio: Name of the chunk with the audio.
        counted: Bytes of the head that the length counts too.
        align: Chunks begin at multiples of so many bytes.
    """

    begin: int
    head: str
    audio: bytes
    counted: int = 0
    align: int = 2

    def chunks(self, file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
        """Yield names and lengths of chunks; the file stands at the content of each."""
        head = struct.Struct(self.head)
        at = self.begin
        while at + head.size <= size:
            file.seek(at)
            name, length = head.unpack(file.read(head.size))
            length = max(0, length - self.counted)
            yield name, length
            at += head.size + length + -length % self.align


_WAV = _Chunked(12, "<4sI", b"data")
_CHUNKED = {
    b"RIFF": _WAV,
    b"RF64": _WAV,
    b"RIFX": _Chunked(12, ">4sI", b"data"),
    b"FORM": _Chunked(12, ">4sI", b"SSND"),
    b"riff": _Chunked(40, "<16sQ", b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a"), counted=24, align=8),
    b"caff": _Chunked(8, ">4sQ", b"data", align=1),
}
_AU = {b".snd": ">II", b"dns.": "<II"}


def find_truncation(path: Path) -> str:
    """Return what says that a file ends too early; nothing where nothing does.

    Raises:
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        kind = file.read(4)
        if kind == b"OggS":
            return "" if _ogg_ends(file, size) else "the OGG stream has no end mark"
        if kind in _AU:
            found = _au(file, _AU[kind])
        else:
            found = _chunked(file, size, _CHUNKED[kind]) if kind in _CHUNKED else None
    if found is None or found[1] in _UNKNOWN_LENGTHS or found[1] <= size - found[0]:
        return ""
    return f"the header promises {found[1]} bytes of audio, the file has {max(0, size - found[0])}"


def _ogg_ends(file: BinaryIO, size: int) -> bool:
    """Whether the last page is whole and marked as the last (RFC 3533, section 6)."""
    file.seek(max(0, size - 2 * _LONGEST_PAGE))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < _PAGE_HEAD or not page[5] & _LAST_PAGE:
        return False
    segments = page[_PAGE_HEAD : _PAGE_HEAD + page[_PAGE_HEAD - 1]]
    return len(page) >= _PAGE_HEAD + page[_PAGE_HEAD - 1] + sum(segments)


def _au(file: BinaryIO, layout: str) -> tuple[int, int] | None:
    """Return where the audio begins and how long it is said to be."""
    head = file.read(8)
    if len(head) < 8:
        return None
    begin, length = struct.unpack(layout, head)
    return begin, length


def _chunked(file: BinaryIO, size: int, kind: _Chunked) -> tuple[int, int] | None:
    long = 0
    for name, length in kind.chunks(file, size):
        if name == kind.audio:
            return file.tell(), long if long and length in _UNKNOWN_LENGTHS else length
        if name == b"ds64":
            # The lengths of RF64: of the whole file, of the audio, and its samples.
            long = int.from_bytes(file.read(16)[8:], "little")
    return None
