"""Ogg: the streams that stand one after another in a file, found by walking from page to page (RFC 3533)."""

from __future__ import annotations

from amrbench.files.audio_stream import AudioLayout, AudioStream, TruncatedAudioError, joined, left_out
from amrbench.files.audio_tags import Data, skip_tags

MARK = b"OggS"
_HEAD = 27
"""Bytes of a page before its table of segments."""
_FIRST, _LAST = 2, 4
"""Flags of the first and last page of a stream."""


def ogg_layout(data: Data, start: int, stop: int) -> AudioLayout:
    """Return the streams in a part of a file; streams that begin together count as one.

    Raises:
        TruncatedAudioError: The last page is incomplete or not marked as the last, or no page is marked as
            the first.
    """
    starts: list[int] = []
    position, flags, other_bytes = start, 0, 0
    while position < stop:
        if data[position : position + 4] != MARK:
            end = data.find(MARK, position, stop)
            end = stop if end < 0 else end
            other_bytes += len(data[skip_tags(data, position, end) : end].strip(b"\0"))
            position = end
            continue
        size = _page_size(data, position)
        if position + size > stop:
            flags = 0
            break
        before, flags = flags, data[position + 5]
        if flags & _FIRST and not before & _FIRST:
            starts.append(position)
        position += size
    if not flags & _LAST:
        raise TruncatedAudioError("the OGG stream has no end mark")
    if not starts:
        raise TruncatedAudioError("the OGG stream has no first page")
    findings = (*joined(len(starts)), *left_out(other_bytes, "OGG pages"))
    if len(starts) < 2 and not start:
        return AudioLayout((AudioStream(),), findings)
    parts = zip(starts, [*starts[1:], stop], strict=True)
    return AudioLayout(tuple(AudioStream((range(*part),)) for part in parts), findings)


def _page_size(data: Data, position: int) -> int:
    """Return the bytes of a page; more than there are if even its head is incomplete."""
    head = data[position : position + _HEAD]
    if len(head) < _HEAD:
        return _HEAD
    table = data[position + _HEAD : position + _HEAD + head[-1]]
    return _HEAD + head[-1] + sum(table)
