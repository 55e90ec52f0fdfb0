"""Measure the audio of a file: which streams it holds, whatever its header says."""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from pathlib import Path

from amrbench.errors import DataError
from amrbench.files import flac_frames, ogg_pages
from amrbench.files.audio_stream import AudioLayout, TruncatedAudioError
from amrbench.files.audio_tags import Data, before_tags, skip_tags
from amrbench.files.chunked_audio import chunked_layout
from amrbench.files.media_kind import HEAD, media_kind
from amrbench.files.mpeg_frames import starts_with_frames
from amrbench.files.mpeg_streams import mpeg_layout

_MPEG_SUFFIXES = (".mp3", ".mp2", ".mpga")
"""Of files that may have other bytes before the audio."""
MOST_STREAMS = 64


def audio_layout(path: Path) -> AudioLayout | None:
    """Return the audio of a file; None if its format is not known here.

    Raises:
        DataError: The file holds less audio than it says, or too many recordings.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        if not file.read(1):
            return None
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            try:
                layout = _layout(data, path.suffix.lower())
            except TruncatedAudioError as error:
                raise DataError(f"{path}: truncated: {error}. Copy it again.") from None
    if layout and len(layout.streams) > MOST_STREAMS:
        raise DataError(
            f"{path}: holds {len(layout.streams)} recordings one after another, and at most {MOST_STREAMS} "
            "are read. Make files of them, or convert it."
        )
    return layout


def _layout(data: Data, suffix: str) -> AudioLayout | None:
    stop = len(data)
    start = skip_tags(data, 0, stop)
    if layout := chunked_layout(data, start, stop):
        return layout
    mark = data[start : start + 4]
    if mark == ogg_pages.MARK:
        return ogg_pages.ogg_layout(data, start, stop)
    if mark == flac_frames.MARK:
        return flac_frames.flac_layout(data, start, stop)
    if media_kind(data[start : start + HEAD]):
        return None
    end = before_tags(data, start, stop)
    if suffix in _MPEG_SUFFIXES or starts_with_frames(data, start, end):
        return mpeg_layout(data, start, end)
    return None
