"""Decode with PyAV what libsndfile does not know, e.g. M4A, WebM and the sound of videos.

PyAV comes with the extra `video` and is imported late. The sound is decoded once to measure it, because
containers are not always right about its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amrbench.data.forward_reader import Channels, ForwardReader, in_blocks
from amrbench.errors import DataError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream as Track
    from av.container import InputContainer

_FORMATS = (
    "mov,matroska,webm,aac,asf,avi,flv,mpegts,mpeg,amr,amrnb,amrwb,ac3,eac3,ape,wv,tta,mpc,mpc8,dsf,rm,voc,"
    "nistsphere,ogg,mp3,flac,wav,w64,aiff,caf,au"
)
"""Those that PyAV may open; others name further files or addresses, which it would open too."""
_WITH_LENGTH = frozenset({"mov", "matroska", "asf", "flv", "avi"})
"""Formats that say how long they are; PyAV guesses the length of others."""
_LATE = 0.1
"""Seconds after the picture from which on the beginning of the sound is noted."""
_SHORT = 0.25
"""Seconds that the sound may be shorter than its container says."""
_DURATION = re.compile(r"(\d{1,9}):(\d{1,2}):(\d{1,2}(?:\.\d*)?)", re.ASCII)
"""The tag DURATION of a track in Matroska: hours, minutes and seconds."""


class MediaDecoder:
    """The sound of a file."""

    def __init__(self, path: Path) -> None:
        """Decode all of the sound and count its samples.

        Raises:
            DataError: There is no sound, it cannot be decoded, or it is shorter than the container says.
        """
        self.path = path
        self.findings: list[str] = []
        self.rate, self.samples = 0, 0
        with _errors_explained(path), _opened(path) as container:
            track = self._track(container)
            for rate, channels in _frames(track, container, path):
                self.rate = rate
                self.samples += len(channels)
            if not self.samples:
                raise DataError(f"{path}: has no sound, only an empty track.")
            self._compare(container, track)
        self._reader = ForwardReader(self._decode)

    def read(self, start: int, size: int) -> Channels:
        """Return some samples, (size, channels); fewer if decoding ends before.

        Raises:
            DataError: They cannot be decoded.
        """
        return self._reader.read(start, size)

    def _decode(self) -> Iterator[Channels]:
        with _errors_explained(self.path), _opened(self.path) as container:
            frames = _frames(container.streams.audio[0], container, self.path)
            yield from in_blocks(channels for _, channels in frames)

    def _track(self, container: InputContainer) -> Track:
        tracks = container.streams.audio
        if not tracks:
            raise DataError(f"{self.path}: has no sound.")
        if len(tracks) > 1:
            self.findings.append(f"has {len(tracks)} sound tracks, of which the first is read")
        return tracks[0]

    def _compare(self, container: InputContainer, track: Track) -> None:
        """Compare the sound with the length and the beginning that the container says."""
        seconds, late = self.samples / self.rate, _start(container, track)
        promised = _promised(container, track, late)
        if seconds < promised - _SHORT:
            raise DataError(
                f"{self.path}: truncated: the container promises {promised:.1f} s of sound, decoding ends "
                f"after {seconds:.1f} s. Copy or download it again."
            )
        if late > _LATE and container.streams.video:
            self.findings.append(
                f"has a picture that begins {late:.1f} s before the sound; times count from the sound"
            )


def has_pyav() -> bool:
    """Whether PyAV is installed."""
    return find_spec("av") is not None


def _start(container: InputContainer, track: Track) -> float:
    """Return the seconds from the beginning of the container to that of the sound."""
    start = float((track.start_time or 0) * track.time_base) if track.time_base else 0.0
    return start - (container.start_time or 0) / 1e6


def _promised(container: InputContainer, track: Track, late: float) -> float:
    """Return the seconds of sound that the container says; 0 if it does not say it."""
    if not _WITH_LENGTH.intersection(container.format.name.split(",")):
        return 0.0
    if track.duration and track.time_base:
        return float(track.duration * track.time_base)
    if own := _DURATION.fullmatch(track.metadata.get("DURATION", "")):
        hours, minutes, seconds = own.groups()
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds) - late  # Matroska counts to the end.
    return 0.0 if container.streams.video else (container.duration or 0) / 1e6


def _opened(path: Path) -> InputContainer:
    import av

    # "file:" keeps a name such as "concat:a.m4a" from being understood as an instruction.
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    # No tag but DURATION is used, so damaged ones do not matter.
    return av.open(f"file:{path}", mode="r", options=options, metadata_errors="replace")


def _frames(track: Track, container: InputContainer, path: Path) -> Iterator[tuple[int, Channels]]:
    """Yield the sampling rate and (samples, channels) of every frame of a track."""
    import av

    resampler = None
    # Containers are often wrong about rate and channels of AAC; frames are right.
    for frame in chain(container.decode(track), [None]):
        if resampler is None and frame is not None:
            resampler = av.AudioResampler(format="fltp", layout=frame.layout, rate=frame.rate)
        try:
            out = resampler.resample(frame) if resampler else []
        except ValueError as error:
            raise DataError(
                f"{path}: its sound changes between several rates or numbers of channels ({error}). Convert "
                "it."
            ) from None
        for block in out:
            yield block.rate, np.asarray(block.to_ndarray().T, np.float32)


@contextmanager
def _errors_explained(path: Path) -> Iterator[None]:
    """Turn errors of PyAV into DataError."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise DataError(
            f"{path}: truncated or damaged: its sound cannot be decoded ({error.strerror}). Copy or download "
            "it again."
        ) from None
