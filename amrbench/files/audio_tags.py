"""Tags that players write before and after audio: ID3 and APE. They are no audio, in whatever format."""

from __future__ import annotations

from mmap import mmap

Data = mmap | bytes
"""The content of a file."""

_ID3_HEAD = 10
_ID3_FOOTER = 0x10  # the flag for ten more bytes after an ID3v2 tag
_ID3V1 = 128
_APE_HEAD = 32
_APE_HAS_HEAD = 1 << 31
_APE_IS_HEAD = 1 << 29


def tag_length(data: Data, position: int, stop: int) -> int:
    """Return the length of the tag that begins at a position; 0 if there is none."""
    if stop - position < _ID3_HEAD:
        return 0
    name = data[position : position + 3]
    if name == b"ID3":
        head = data[position : position + _ID3_HEAD]
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return _ID3_HEAD + size + (_ID3_HEAD if head[5] & _ID3_FOOTER else 0)
    if name == b"TAG" and stop - position >= _ID3V1:
        return _ID3V1
    if name == b"APE" and data[position : position + 8] == b"APETAGEX":
        size, flags = _ape_head(data, position)
        return _APE_HEAD + (size if flags & _APE_IS_HEAD else 0)
    return 0


def skip_tags(data: Data, position: int, stop: int) -> int:
    """Return the position after all tags that begin at a position."""
    while length := tag_length(data, position, stop):
        position = min(position + length, stop)
    return position


def before_tags(data: Data, start: int, stop: int) -> int:
    """Return the end of what lies before all tags at the end of a file."""
    while length := _length_of_last(data, start, stop):
        stop -= length
    return stop


def _length_of_last(data: Data, start: int, stop: int) -> int:
    length = 0
    if stop - start >= _ID3V1 and data[stop - _ID3V1 : stop - _ID3V1 + 3] == b"TAG":
        length = _ID3V1
    elif stop - start >= _APE_HEAD and data[stop - _APE_HEAD : stop - _APE_HEAD + 8] == b"APETAGEX":
        size, flags = _ape_head(data, stop - _APE_HEAD)
        length = size + (_APE_HEAD if flags & _APE_HAS_HEAD else 0)
    elif stop - start >= 2 * _ID3_HEAD and data[stop - _ID3_HEAD : stop - _ID3_HEAD + 3] == b"3DI":
        size = data[stop - 4] << 21 | data[stop - 3] << 14 | data[stop - 2] << 7 | data[stop - 1]
        length = size + 2 * _ID3_HEAD
    return length if length <= stop - start else 0


def _ape_head(data: Data, position: int) -> tuple[int, int]:
    """Return the size, which includes the footer but not the header, and the flags of an APE tag."""
    return (
        int.from_bytes(data[position + 12 : position + 16], "little"),
        int.from_bytes(data[position + 20 : position + 24], "little"),
    )
