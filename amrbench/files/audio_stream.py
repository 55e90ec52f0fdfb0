"""What audio a file holds, whatever its header says: the streams that are decoded one after another."""

from __future__ import annotations

from dataclasses import dataclass

from amrbench.files.file_view import Piece


class TruncatedAudioError(Exception):
    """A file holds less audio than it says; the text is the evidence."""


@dataclass(frozen=True)
class AudioStream:
    """Audio that libsndfile decodes as a file of its own.

    Attributes:
        pieces: What libsndfile is given; none for the whole file as it is.
        samples: The bytes of uncompressed samples, where a header has their size.
        sized: Whether the header has their right size.
        undercounted: Whether the header counts some of them, but not all.
        count: Number of samples of each channel, if libsndfile cannot say it.
    """

    pieces: tuple[Piece, ...] = ()
    samples: range | None = None
    sized: bool = True
    undercounted: bool = False
    count: int = 0


@dataclass(frozen=True)
class AudioLayout:
    """The audio of a file.

    Attributes:
        streams: At least one.
        findings: What people must know, as predicates, e.g. "holds 2 recordings one after another".
    """

    streams: tuple[AudioStream, ...]
    findings: tuple[str, ...] = ()


def joined(count: int) -> list[str]:
    """Return the finding for so many streams; none for a single one."""
    return [f"holds {count} recordings one after another"] if count > 1 else []


def left_out(other_bytes: int, form: str) -> list[str]:
    """Return the finding for bytes that are no audio; none if there are none."""
    return [f"holds {other_bytes:,} bytes that are no {form}, which are left out"] if other_bytes else []
