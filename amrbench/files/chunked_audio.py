"""Audio in chunks (WAV, AIFF, W64, CAF) or behind a short header (AU): where the audio begins and ends.

Headers are often wrong: written before the length was known, with sizes beyond 4 GiB cut to 32 bits, or in
front of several files that were joined.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from amrbench.files.audio_stream import AudioLayout, AudioStream, TruncatedAudioError, joined, left_out
from amrbench.files.audio_tags import Data, before_tags, tag_length
from amrbench.files.file_view import Piece
from amrbench.files.mpeg_streams import mpeg_layout

_A_FEW_SAMPLES = 64
"""Bytes by which audio may be shorter than its header says."""
_PADDING = 1000
"""Bytes after the audio that are not taken for audio, whatever they are."""
_ZEROS = 4096
"""Zero bytes after the audio that are not taken for audio."""
_MP3_IN_WAV = (0x50, 0x55)
_GUID_END = bytes.fromhex("f3acd3118cd100c04f8edb8a")
"""The names of W64 chunks end with it."""


@dataclass(frozen=True)
class _Container:
    """A container format made of chunks.

    Attributes:
        start: Bytes before the first chunk.
        head: Layout of the head of a chunk: its name and its length.
        audio: Name of the chunk with the audio.
        counted: Bytes of the head that are included in the length.
        align: Chunks start at multiples of this number of bytes.
        lead: Bytes of the audio chunk before the audio.
        form: What stands at position 8 of such a file; empty if this does not matter.
        to_the_end: Lengths that mean, by the standard, that the audio ends with the file.
    """

    start: int
    head: struct.Struct
    audio: bytes
    counted: int = 0
    align: int = 2
    lead: int = 0
    form: tuple[bytes, ...] = ()
    to_the_end: frozenset[int] = frozenset()


_WAV = _Container(12, struct.Struct("<4sI"), b"data", form=(b"WAVE",))
_CONTAINERS: Mapping[bytes, _Container] = {
    b"RIFF": _WAV,
    b"RF64": _WAV,
    b"BW64": _WAV,
    b"RIFX": _Container(12, struct.Struct(">4sI"), b"data", form=(b"WAVE",)),
    b"FORM": _Container(12, struct.Struct(">4sI"), b"SSND", lead=8, form=(b"AIFF", b"AIFC")),
    b"riff": _Container(40, struct.Struct("<16sQ"), b"data" + _GUID_END, counted=24, align=8),
    b"caff": _Container(
        8, struct.Struct(">4sQ"), b"data", align=1, lead=4, to_the_end=frozenset({(1 << 64) - 1})
    ),
}
_AU = {b".snd": ">II", b"dns.": "<II"}
_AU_HEAD = 24
_AU_TO_THE_END = 0xFFFFFFFF


@dataclass(frozen=True)
class _Audio:
    """The audio of one container.

    Attributes:
        start: Where it begins.
        size: Its bytes by the header; 0 if the header does not say it.
        to_the_end: Whether the standard lets the header say that it ends with the file.
        codec: The number of its codec in WAV.
        unpadded: Where a byte of padding lacks before it, which libsndfile needs.
    """

    start: int
    size: int
    to_the_end: bool = False
    codec: int = 0
    unpadded: tuple[int, ...] = ()


def chunked_layout(data: Data, start: int, stop: int) -> AudioLayout | None:
    """Return the audio in a part of a file; None if it has another format.

    Raises:
        TruncatedAudioError: There is less audio than a header says.
    """
    streams: list[AudioStream] = []
    findings: list[str] = []
    position = start
    while position < stop and (audio := _audio(data, position, stop)):
        end, next_position, own = _end_of(data, audio, position, stop)
        findings += own
        if audio.codec in _MP3_IN_WAV and (inner := mpeg_layout(data, audio.start, end)):
            streams += inner.streams
            findings += inner.findings
        else:
            pieces = _padded(range(position, next_position), audio.unpadded)
            pieces = () if pieces == (range(stop),) else pieces
            samples = range(audio.start, end)
            sized = audio.to_the_end or len(samples) == audio.size
            undercounted = not sized and 0 < audio.size < len(samples)
            streams.append(AudioStream(pieces, samples, sized, undercounted))
        position = next_position
    return AudioLayout(tuple(streams), (*joined(len(streams)), *findings)) if streams else None


def _audio(data: Data, start: int, stop: int) -> _Audio | None:
    """Return the audio of the container that begins at a position; None if none does."""
    mark = data[start : start + 4]
    if mark in _AU and stop - start >= _AU_HEAD:
        first, size = struct.unpack(_AU[mark], data[start + 4 : start + 12])
        begin = min(start + max(first, _AU_HEAD), stop)
        return _Audio(begin, 0 if _is_no_size(size, begin, stop) else size, size == _AU_TO_THE_END)
    container = _container(data, start)
    if container is None:
        return None
    size_64, codec, end, unpadded = 0, 0, 0, list[int]()
    for name, body, size in _chunks(data, container, start + container.start, stop):
        if end % container.align and body - container.head.size == end:
            unpadded.append(end)
        end = body + size
        if name == b"ds64":  # RF64 has 64-bit lengths: of the file, of the audio, and the number of samples.
            size_64 = int.from_bytes(data[body + 8 : body + 16], "little")
        elif name == b"fmt ":
            codec = int.from_bytes(data[body : body + 2], "little")
        elif name == container.audio:
            if size == 0xFFFFFFFF and mark in (b"RF64", b"BW64"):
                size = size_64
            begin = min(body + container.lead, stop)
            own = 0 if _is_no_size(size, begin, stop) else max(0, size - container.lead)
            return _Audio(begin, own, size in container.to_the_end, codec, tuple(unpadded))
    return None


def _padded(container: range, unpadded: tuple[int, ...]) -> tuple[Piece, ...]:
    """Return the bytes of a container with a byte of padding at some positions."""
    pieces: list[Piece] = []
    start = container.start
    for position in unpadded:
        pieces += [range(start, position), b"\0"]
        start = position
    return (*pieces, range(start, container.stop))


def _container(data: Data, start: int) -> _Container | None:
    container = _CONTAINERS.get(data[start : start + 4])
    if container is None or (container.form and data[start + 8 : start + 12] not in container.form):
        return None
    return container


def _chunks(data: Data, container: _Container, position: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and length of each chunk; the last may reach beyond the end."""
    head = container.head
    while position + head.size <= stop:
        name, size = head.unpack(data[position : position + head.size])
        body, size = position + head.size, max(0, size - container.counted)
        yield name, body, size
        position = _after(data, container, body + size, size)


def _after(data: Data, container: _Container, end: int, size: int) -> int:
    """Return where the chunk after one of some size begins; some writers leave out the padding."""
    padded = end + -size % container.align
    if _is_name(data[end : end + 4]) and not _is_name(data[padded : padded + 4]):
        return end
    return padded


def _is_name(name: bytes) -> bool:
    return len(name) >= 4 and all(0x20 <= byte < 0x7F for byte in name[:4]) and name[4:] in (b"", _GUID_END)


def _is_no_size(size: int, start: int, stop: int) -> bool:
    """Whether programs write this for a size that they do not know yet: about 2 or 4 GiB, or the largest."""
    near_2_gib = 0x7FFF0000 <= size <= 0x80001000
    return size > stop - start and (near_2_gib or 0xFFFF0000 <= size <= 0xFFFFFFFF or size >= 1 << 62)


# ---------------------------------------------------------------- the end of the audio


class _Rest(Enum):
    """What follows the audio."""

    CHUNKS = auto()
    CONTAINER = auto()
    OTHER = auto()


def _end_of(data: Data, audio: _Audio, start: int, stop: int) -> tuple[int, int, list[str]]:
    """Return where the audio ends, where its container ends, and what is wrong with the header."""
    available = stop - audio.start
    if audio.to_the_end:
        return before_tags(data, audio.start, stop), stop, []
    if audio.size > available + _A_FEW_SAMPLES:
        raise TruncatedAudioError(
            f"the header promises {audio.size} bytes of audio, the file has {available}"
        )
    if audio.size > available:
        return stop, stop, [f"lacks the last {audio.size - available} bytes that its header counts"]
    rest, position, unread = _rest(data, range(audio.start, audio.start + audio.size), start, stop)
    if rest is not _Rest.OTHER:
        return audio.start + audio.size, position, left_out(unread, "audio")
    if not audio.size:
        end = _next_container(data, start, audio.start, stop)
        finding = "does not say how long it is, because it was written to a pipe or not finished"
        return before_tags(data, audio.start, end), end, [finding]
    for size in range(audio.size + (1 << 32), available + 1, 1 << 32):
        rest, position, unread = _rest(data, range(audio.start, audio.start + size), start, stop)
        if rest is not _Rest.OTHER:
            return audio.start + size, position, [_more(audio.size, size)]
    end = before_tags(data, audio.start, stop)
    return end, stop, [_more(audio.size, end - audio.start)]


def _more(promised: int, size: int) -> str:
    return f"holds {size:,} bytes of audio, and its header counts {promised:,}"


def _rest(data: Data, audio: range, start: int, stop: int) -> tuple[_Rest, int, int]:
    """Return what follows some audio, where it ends, and the number of bytes there that are nothing known."""
    container = _container(data, start)
    padding = -len(audio) % container.align if container else 0
    for first in {audio.stop: 0, audio.stop + padding: 0}:  # Some writers leave out the padding.
        at = first
        while at < stop:
            if _begins_container(data, at, start):
                return _Rest.CONTAINER, at, 0
            length = tag_length(data, at, stop) or _chunk_length(data, container, at, stop)
            if not length:
                break
            at = min(stop, at + length)
        rest = data[at : min(stop, at + _ZEROS + 1)]
        if stop - at < _PADDING or (len(rest) <= _ZEROS and not rest.strip(b"\0")):
            return _Rest.CHUNKS, stop, 0
        if at > first:
            return _Rest.CHUNKS, stop, stop - at
    return _Rest.OTHER, stop, 0


def _begins_container(data: Data, position: int, start: int) -> bool:
    """Whether another file of the same format begins at a position."""
    mark = data[position : position + 4]
    return mark == data[start : start + 4] and (mark in _AU or _container(data, position) is not None)


def _next_container(data: Data, start: int, position: int, stop: int) -> int:
    """Return where the next file of the same format begins; `stop` if there is none."""
    mark = data[start : start + 4]
    while 0 <= (position := data.find(mark, position, stop)) < stop:
        if _audio(data, position, stop) and _begins_container(data, position, start):
            return position
        position += 1
    return stop


def _chunk_length(data: Data, container: _Container | None, position: int, stop: int) -> int:
    """Return the bytes of the chunk at a position; 0 if there is none."""
    if container is None:
        return 0
    head = container.head
    if position + head.size > stop:
        return 0
    name, size = head.unpack(data[position : position + head.size])
    length = head.size + max(0, size - container.counted)
    whole = position + length <= stop or name.strip().lower() in _USUAL
    if not whole or not _is_name(name):
        return 0
    return _after(data, container, position + length, length) - position


_USUAL = frozenset(
    {b"list", b"id3", b"bext", b"cue", b"smpl", b"fact", b"junk", b"pad", b"fllr", b"ixml", b"axml", b"_pmx"}
    | {b"acid", b"inst", b"afsp", b"peak", b"minf", b"cart", b"chna", b"comt", b"mark", b"appl", b"name"}
    | {b"anno", b"auth", b"(c)", b"chan", b"info", b"free", b"uuid", b"levl", b"dggd", b"disp", b"umid"}
)
"""Names of chunks that often follow the audio, in lower case; one may be incomplete."""
