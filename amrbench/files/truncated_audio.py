"""Find truncated audio files that libsndfile would read as shorter recordings.

libsndfile itself refuses truncated FLAC and MP3 files, when it decodes them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CHECKED = frozenset({"WAV", "WAVEX", "RF64", "AIFF", "AU", "W64", "CAF", "FLAC", "OGG", "MP3"})
"""Formats, by their names in libsndfile, whose truncated files are found."""
_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # in a header written before the length was known
_PAGE_HEAD = 27  # bytes of an OGG page before its table of segments
_LONGEST_PAGE = _PAGE_HEAD + 255 + 255 * 255
_LAST_PAGE = 4  # the flag of the last page of a stream


@dataclass(frozen=True)
class _Chunked:
    """A container format made of chunks.

    Attributes:
        start: Bytes before the first chunk.
        head: Layout of the head of a chunk: its name and its length.
        audio: Name of the chunk with the audio.
        counted: Bytes of the head that are included in the length.
        align: Chunks start at multiples of this number of bytes.
    """

    start: int
    head: str
    audio: bytes
    counted: int = 0
    align: int = 2

    def audio_range(self, file: BinaryIO, size: int) -> tuple[int, int]:
        """Return the start and the length of the audio according to its chunk; length 0 if it is unknown."""
        head = struct.Struct(self.head)
        position, length_64 = self.start, 0
        while position + head.size <= size:
            file.seek(position)
            name, length = head.unpack(file.read(head.size))
            length = max(0, length - self.counted)
            if name == self.audio:
                return file.tell(), length_64 if length_64 and length in _UNKNOWN_LENGTHS else length
            if name == b"ds64":
                # RF64 has 64-bit lengths: of the file, of the audio, and the number of samples.
                length_64 = int.from_bytes(file.read(16)[8:], "little")
            position += head.size + length + -length % self.align
        return 0, 0


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
    """Return the evidence that a file is truncated, or an empty string if there is none.

    Raises:
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        kind = file.read(4)
        if kind == b"OggS":
            return "" if _ogg_ends(file, size) else "the OGG stream has no end mark"
        if kind in _AU:
            start, length = struct.unpack(_AU[kind], file.read(8).ljust(8, b"\0"))
        elif kind in _CHUNKED:
            start, length = _CHUNKED[kind].audio_range(file, size)
        else:
            return ""
    if length in _UNKNOWN_LENGTHS or length <= size - start:
        return ""
    return f"the header promises {length} bytes of audio, the file has {max(0, size - start)}"


def _ogg_ends(file: BinaryIO, size: int) -> bool:
    """Whether the last page is complete and marked as the last (RFC 3533, section 6)."""
    file.seek(max(0, size - 2 * _LONGEST_PAGE))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < _PAGE_HEAD or not page[5] & _LAST_PAGE:
        return False
    segments = page[_PAGE_HEAD : _PAGE_HEAD + page[_PAGE_HEAD - 1]]
    return len(page) >= _PAGE_HEAD + page[_PAGE_HEAD - 1] + sum(segments)
