"""FLAC: the number of samples up to its last frame, for files whose header does not say it (RFC 9639)."""

from __future__ import annotations

import re
from functools import lru_cache

from amrbench.files.audio_stream import AudioLayout, AudioStream, TruncatedAudioError, joined
from amrbench.files.audio_tags import Data, before_tags
from amrbench.files.file_view import Piece

MARK = b"fLaC"
_BEGIN = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
"""A stream: the mark, and the head of its description, which has 34 bytes."""
_TOTAL = 21
"""Position of the number of samples: the lower half of this byte, and the next four."""
_AUDIO = 42
"""Position of whatever follows the description."""
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_LONGEST = 1 << 18
"""Bytes at the end that are searched for the last frame; checksums of more would take seconds."""
_SHORTEST = 8
"""Bytes that a frame has at least."""
_BLOCKS = {1: 192, **{code: 576 << code - 2 for code in range(2, 6)}}
_BLOCKS |= {code: 256 << code - 8 for code in range(8, 16)}
"""Samples of a frame by their code; 6 and 7 stand for a number in the header."""
_CRC_8, _CRC_16 = 0x07, 0x8005


def flac_layout(data: Data, start: int, stop: int) -> AudioLayout:
    """Return the streams in a part of a file.

    Raises:
        TruncatedAudioError: There are fewer samples than a header says, or a header does not say how many and
            the last frame is incomplete.
    """
    starts = [match.start() for match in _BEGIN.finditer(data, start, stop)]
    if not starts or starts[0] != start:
        return AudioLayout((AudioStream(),))
    findings = joined(len(starts))
    streams = []
    for begin, end in zip(starts, [*starts[1:], before_tags(data, start, stop)], strict=True):
        pieces, own = _checked(data, begin, end)
        streams.append(AudioStream(pieces))
        findings += own
    if len(streams) == 1 and not findings:
        return AudioLayout((AudioStream(),))
    return AudioLayout(tuple(streams), tuple(findings))


def _checked(data: Data, start: int, stop: int) -> tuple[tuple[Piece, ...], list[str]]:
    """Return a stream with the right number of samples in its description, and what is wrong with it."""
    head = data[start : start + _AUDIO]
    promised = int.from_bytes(head[_TOTAL : _TOTAL + 5], "big") & ((1 << 36) - 1)
    samples, whole = _samples(data[max(start + _AUDIO, stop - _longest(head)) : stop], head)
    if samples < promised and (whole or samples):
        raise TruncatedAudioError(
            f"the header promises {promised} samples, the last frame ends after {samples}"
        )
    if not whole and not promised:
        raise TruncatedAudioError("the last FLAC frame is incomplete")
    if not whole or samples == promised:
        return (range(start, stop),), []
    total = (head[_TOTAL] & 0xF0) << 32 | samples
    head = head[:_TOTAL] + total.to_bytes(5, "big") + head[_TOTAL + 5 :]
    finding = f"holds {samples:,} samples, and its header counts {promised:,}"
    if not promised:
        finding = "does not say how long it is, because it was written to a pipe or not finished"
    return (head, range(start + _AUDIO, stop)), [finding]


def _longest(head: bytes) -> int:
    """Return the bytes of the longest frame, as the description says, or a usual limit."""
    return min(int.from_bytes(head[15:18], "big") or _LONGEST, _LONGEST)


def _samples(tail: bytes, head: bytes) -> tuple[int, bool]:
    """Return the number of samples up to the end of the last frame, and whether the frame is undamaged.

    Args:
        tail: The last bytes of the stream.
        head: Its description.
    """
    incomplete = 0
    for match in reversed(list(_SYNC.finditer(tail))):
        frame = tail[match.start() :]
        end = _end_of(frame, head)
        if end and not _checksum(frame, _CRC_16, 16):
            return end, True
        incomplete = incomplete or end
    return incomplete, False


def _end_of(frame: bytes, head: bytes) -> int:
    """Return the number of samples up to the end of a frame; 0 if these bytes are no frame."""
    number, position = _coded_number(frame[4:11])
    size, rate = frame[2] >> 4 if len(frame) > _SHORTEST else 0, frame[2] & 15 if len(frame) > 2 else 15
    if not position or not size or rate == 15:
        return 0
    position += 4
    samples = _BLOCKS.get(size, 0)
    if size in (6, 7):
        samples = int.from_bytes(frame[position : position + size - 5], "big") + 1
    position += {6: 1, 7: 2}.get(size, 0) + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if _checksum(frame[: position + 1], _CRC_8, 8):
        return 0
    usual = int.from_bytes(head[8:10], "big")
    return (number if frame[1] & 1 else number * usual) + samples


def _coded_number(content: bytes) -> tuple[int, int]:
    """Return a number in up to 7 bytes, coded as UTF-8 codes letters, and how many they are; 0 for none."""
    first = content[0] if content else 0x80
    ones = 8 - (first ^ 0xFF).bit_length()
    if ones in (1, 8) or any(byte >> 6 != 2 for byte in content[1:ones]):
        return 0, 0
    number = first & (0x7F >> ones)
    for byte in content[1:ones]:
        number = number << 6 | byte & 0x3F
    return number, max(1, ones)


def _checksum(content: bytes, polynomial: int, bits: int) -> int:
    """Return the checksum of bytes that end with their checksum: 0 if they are undamaged."""
    table, mask, register = _checksums(polynomial, bits), (1 << bits) - 1, 0
    for byte in content:
        register = (register << 8 & mask) ^ table[register >> bits - 8 ^ byte]
    return register


@lru_cache
def _checksums(polynomial: int, bits: int) -> list[int]:
    """Return the checksum of every byte."""
    table = []
    for byte in range(256):
        register = byte << bits - 8
        for _ in range(8):
            register = register << 1 ^ (polynomial if register >> bits - 1 else 0)
            register &= (1 << bits) - 1
        table.append(register)
    return table
