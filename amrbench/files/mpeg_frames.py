"""MPEG audio such as MP3: its frames, counted by walking from header to header.

Without a Xing or Info frame, an MP3 does not say how long it is; players and libsndfile guess from its first
frames. A frame holds a fixed number of samples, so their number is the length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from amrbench.files.audio_tags import Data, skip_tags

_BITRATES = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Kilobits a second by MPEG version and layer; 0 stands for a free format. MPEG 2.5 is as MPEG 2."""
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Samples a second by the two bits of the version: MPEG 1, 2 and 2.5."""
_HEAD = 4
_SYNC = re.compile(rb"\xff(?=[\xe2-\xff])")  # a second byte of 255 may be the first of a frame
_CHAIN = 3
"""Headers that must follow one another until bytes are taken for MPEG audio."""
_LONGEST_FREE = 8192
_INFO_MARKS = (b"Xing", b"Info")
_VBRI = 36
"""Position of the mark of a VBRI frame, whatever the mode."""
ENCODER_DELAY = 576
"""Samples of silence that LAME, and about so many that other encoders, put before the audio."""
_LAME_TAG = 36


class MpegKind(NamedTuple):
    """What all frames of a stream have in common."""

    version: int
    layer: int
    rate: int
    mono: bool

    @property
    def samples(self) -> int:
        """Return the samples of a frame."""
        if self.layer == 1:
            return 384
        return 1152 if self.layer == 2 or self.version == 1 else 576

    @property
    def side_bytes(self) -> int:
        """Return the bytes of layer III between the header and the audio, or the mark of an Info frame."""
        return {(1, True): 17, (1, False): 32, (2, True): 9, (2, False): 17}[self.version, self.mono]


class _Header(NamedTuple):
    kind: MpegKind
    size: int
    """Bytes of the frame; 0 for a free format."""
    padding: int


@lru_cache(maxsize=4096)
def _parsed(head: bytes) -> _Header | None:
    """Return what a header of four bytes says; None if it is none."""
    if len(head) < _HEAD or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version_bits, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    if version_bits == 1 or layer == 4 or bitrate == 15 or rate == 3:
        return None
    kind = MpegKind(1 if version_bits == 3 else 2, layer, _RATES[version_bits][rate], head[3] >> 6 == 3)
    padding = (head[2] >> 1 & 1) * (4 if layer == 1 else 1)
    bits = 1000 * _BITRATES[kind.version, layer][bitrate]
    size = 4 * (12 * bits // kind.rate) if layer == 1 else kind.samples // 8 * bits // kind.rate
    return _Header(kind, size + padding if bits else 0, padding)


@dataclass(frozen=True)
class InfoFrame:
    """The frame before the audio that says how long it is: Xing, Info or VBRI.

    Attributes:
        position: Its bytes in the file.
        frames: Number of frames after it; 0 if it does not say.
        delay: Samples of silence that the encoder put before the audio; None if it does not say.
    """

    position: range
    frames: int
    delay: int | None


@dataclass
class MpegSection:
    """Frames that were encoded together: up to the next Info frame, or frame of another kind.

    Attributes:
        kind: Of all frames.
        info: The frame that says how long it is, if any.
        runs: The bytes of the audio frames.
        frames: Number of audio frames.
    """

    kind: MpegKind
    info: InfoFrame | None
    runs: list[range] = field(default_factory=list)
    frames: int = 0


@dataclass
class MpegAudio:
    """The frames of a file.

    Attributes:
        sections: A file may hold several, one after another.
        other_bytes: Number of bytes that are neither frames nor tags nor zero.
        cut: Whether the last frame is incomplete.
    """

    sections: list[MpegSection] = field(default_factory=list)
    other_bytes: int = 0
    cut: bool = False


def mpeg_audio(data: Data, start: int, stop: int) -> MpegAudio:
    """Return the MPEG frames in a part of a file; no sections if there are none."""
    audio = MpegAudio()
    position = skip_tags(data, start, stop)
    while position < stop:
        first = _first_frame(data, position, stop)
        audio.cut = first == stop and _is_cut_frame(data, position, audio)
        if not audio.cut:
            audio.other_bytes += len(data[position:first].strip(b"\0"))
        position = skip_tags(data, _walk(data, first, stop, audio), stop)
    audio.sections = [section for section in audio.sections if section.frames or section.info]
    return audio


def starts_with_frames(data: Data, position: int, stop: int) -> bool:
    """Whether several headers follow one another from a position."""
    return _is_chain(data, position, stop)


def counted_info_frame(kind: MpegKind, first: bytes, frames: int, delay: int) -> bytes:
    """Return an Info frame in front of frames of layer III.

    Args:
        kind: Of the frames.
        first: The header of the first of them.
        frames: Their number.
        delay: Samples that the encoder put before the audio.
    """
    content = bytes(kind.side_bytes) + b"Info" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
    content += b"LAME".ljust(21, b"\0") + (delay << 12).to_bytes(3, "big")
    for bitrate in range(1, 15):
        head = bytes([first[0], first[1] | 1, bitrate << 4 | first[2] & 0x0C, first[3]])
        header = _parsed(head)
        if header and header.size >= _HEAD + len(content) + _LAME_TAG:
            return (head + content).ljust(header.size, b"\0")
    raise AssertionError("the largest frame holds any Info frame")


# ---------------------------------------------------------------- frames


def _walk(data: Data, start: int, stop: int, audio: MpegAudio) -> int:
    """Add the frames from a position on that are whole and of one kind; return the position after them."""
    first = _parsed(data[start : start + _HEAD])
    if first is None:
        return stop
    kind, free = first.kind, 0 if first.size else _free_size(data, start, stop, first)
    section, begin, position = _section(audio, kind), start, start
    mark = _HEAD + kind.side_bytes
    sizes = _FrameSizes(kind, free)
    while (size := sizes[data[position : position + _HEAD]]) and position + size <= stop:
        # This loop sees each frame of the file, so it calls nothing for a frame of audio.
        may_be_info = position == start or data[position + mark : position + mark + 4] in _INFO_MARKS
        if may_be_info and (info := _info_frame(data, range(position, position + size), kind)):
            _end_run(section, range(begin, position))
            section = MpegSection(kind, info)
            audio.sections.append(section)
            begin = position + size
        else:
            section.frames += 1
        position += size
    _end_run(section, range(begin, position))
    return position


class _FrameSizes(dict[bytes, int]):
    """The bytes of a frame by its header; 0 if it is of another kind or none."""

    def __init__(self, kind: MpegKind, free: int) -> None:
        super().__init__()
        self._kind, self._free = kind, free

    def __missing__(self, head: bytes) -> int:
        header = _parsed(head)
        size = 0
        if header and header.kind == self._kind:
            size = header.size or self._free + header.padding
        self[head] = size
        return size


def _section(audio: MpegAudio, kind: MpegKind) -> MpegSection:
    """Return the last section, or a new one if it has another kind."""
    if not audio.sections or audio.sections[-1].kind != kind:
        audio.sections.append(MpegSection(kind, None))
    return audio.sections[-1]


def _end_run(section: MpegSection, run: range) -> None:
    if run:
        section.runs.append(run)


def _first_frame(data: Data, position: int, stop: int) -> int:
    """Return where MPEG audio begins, from a position on; `stop` if nowhere."""
    if _is_chain(data, position, stop):
        return position
    for match in _SYNC.finditer(data, position, stop):
        if _is_chain(data, match.start(), stop):
            return match.start()
    return stop


def _is_chain(data: Data, position: int, stop: int) -> bool:
    """Whether headers of one kind follow one another from a position, or a single frame fills the rest."""
    first = header = _parsed(data[position : min(position + _HEAD, stop)])
    if first is None or header is None:
        return False
    free = 0 if first.size else _free_size(data, position, stop, first)
    for _ in range(_CHAIN):
        if header is None or header.kind != first.kind:
            return False
        size = header.size or free + header.padding
        if not size or position + size > stop:
            return False
        position += size
        if skip_tags(data, position, stop) == stop:
            return True
        header = _parsed(data[position : position + _HEAD])
    return True


def _is_cut_frame(data: Data, position: int, audio: MpegAudio) -> bool:
    """Whether the last bytes are the beginning of a frame after those before it."""
    header = _parsed(data[position : position + _HEAD])
    return header is not None and bool(audio.sections) and header.kind == audio.sections[-1].kind


def _free_size(data: Data, position: int, stop: int, first: _Header) -> int:
    """Return the bytes of a frame of a free format without its padding: up to the next such header."""
    end = min(stop, position + _LONGEST_FREE)
    for match in _SYNC.finditer(data, position + _HEAD, end):
        header = _parsed(data[match.start() : match.start() + _HEAD])
        if header and not header.size and header.kind == first.kind:
            return match.start() - position - first.padding
    return 0


# ---------------------------------------------------------------- Info frames


def _info_frame(data: Data, frame: range, kind: MpegKind) -> InfoFrame | None:
    """Return what a frame says about the length; None if it is a frame of audio."""
    mark = frame.start + _HEAD + kind.side_bytes
    if data[mark : mark + 4] in _INFO_MARKS and kind.layer == 3:
        return _xing(data[mark : frame.stop], frame)
    if data[frame.start + _VBRI : frame.start + _VBRI + 4] == b"VBRI":
        return InfoFrame(frame, _number(data[frame.start + _VBRI : frame.stop], 14, 4), None)
    return None


def _xing(content: bytes, frame: range) -> InfoFrame:
    flags = _number(content, 4, 4)
    frames = _number(content, 8, 4) if flags & 1 else 0
    lame = 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    has_delay = len(content) >= lame + 24 and content[lame]
    return InfoFrame(frame, frames, _number(content, lame + 21, 3) >> 12 if has_delay else None)


def _number(content: bytes, position: int, size: int) -> int:
    return int.from_bytes(content[position : position + size], "big")
