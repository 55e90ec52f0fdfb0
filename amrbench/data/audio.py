"""Read audio files in the usual formats.

Channels are averaged. Truncated files are refused: libsndfile itself reads a truncated WAV file as if it were
a shorter recording. The library soundfile is imported late, because parts of data sets import this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from amrbench.errors import DataError, unreadable
from amrbench.files.truncated_audio import CHECKED, find_truncation

if TYPE_CHECKING:
    from soundfile import SoundFile

Waveform = NDArray[np.float32]

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".w64")
_BLOCK = 1 << 20
"""Samples that are decoded at a time."""
_UNKNOWN_SAMPLES = 1 << 62
"""libsndfile reports at least this many samples where the header does not say how many there are."""


@dataclass(frozen=True)
class AudioFile:
    """An audio file whose header was checked.

    Attributes:
        path: The file.
        rate: Samples a second.
        samples: Number of samples of each channel.
    """

    path: Path
    rate: int
    samples: int

    @property
    def seconds(self) -> float:
        """Return the length in seconds."""
        return self.samples / self.rate

    def read(self, start: int = 0, stop: int | None = None) -> Waveform:
        """Return the mean of the channels from one sample to another, (stop - start,) float32.

        Raises:
            DataError: The file ends early, cannot be decoded, or holds values that are not finite.
        """
        stop = self.samples if stop is None else min(stop, self.samples)
        blocks = [np.empty(0, np.float32)]
        with _errors_explained(self.path):
            self._opened.seek(start)
            # A damaged header may promise more than memory holds, so nothing is allocated in advance.
            for first in range(start, stop, _BLOCK):
                size = min(_BLOCK, stop - first)
                channels = self._opened.read(size, dtype="float32", always_2d=True)
                blocks.append(channels.mean(axis=1, dtype=np.float32))
                if len(channels) < size:
                    break
        waveform = np.concatenate(blocks)
        if len(waveform) < stop - start:
            raise DataError(
                f"{self.path}: truncated: the header promises {self.samples} samples, decoding ends after "
                f"{start + len(waveform)}. Copy it again."
            )
        if not np.isfinite(waveform).all():
            raise DataError(f"{self.path}: holds samples that are not finite. Export the recording again.")
        return waveform

    @cached_property
    def _opened(self) -> SoundFile:
        import soundfile

        # Opened once: MP3 has no index, so a newly opened file is decoded from its beginning up to `start`.
        return soundfile.SoundFile(self.path)


def audio_by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """Return the audio files among some files by their names without suffix.

    Raises:
        DataError: Two audio files differ only in their suffix or folder.
    """
    by_stem: dict[str, Path] = {}
    for path in sorted(path for path in files if path.suffix.lower() in SUFFIXES):
        if path.stem in by_stem:
            raise DataError(f"{path}: {by_stem[path.stem]} has the same name; move one of them away.")
        by_stem[path.stem] = path
    return by_stem


def open_audio(path: Path) -> AudioFile:
    """Check the header of an audio file; nothing is decoded.

    Raises:
        DataError: The file is missing, has an unknown format, is empty, is truncated, or does not say how
            long it is.
    """
    import soundfile

    if not path.is_file():
        raise DataError(f"{path}: there is no such audio file.")
    with _errors_explained(path):
        if truncation := find_truncation(path):
            raise DataError(f"{path}: truncated: {truncation}. Copy it again.")
        info = soundfile.info(path)
    if info.format not in CHECKED:
        raise DataError(
            f"{path}: holds {info.format_info}, a format whose truncated files cannot be detected. Convert "
            "it, for example to FLAC."
        )
    if info.frames < 1:
        raise DataError(f"{path}: the recording has no samples.")
    if info.frames >= _UNKNOWN_SAMPLES:
        raise DataError(
            f"{path}: the header does not say how long the recording is. Convert it again, into a file and "
            "not into a pipe."
        )
    return AudioFile(path, info.samplerate, info.frames)


@contextmanager
def _errors_explained(path: Path) -> Iterator[None]:
    """Turn errors of libsndfile and of the file system into DataError."""
    import soundfile

    try:
        yield
    except soundfile.LibsndfileError as error:
        reason = str(error).split(": ", 1)[-1].strip().rstrip(".")
        raise DataError(
            f"{path}: cannot be read as audio ({reason}). Known formats: WAV, FLAC, OGG, MP3, AIFF, AU, CAF "
            "and W64; convert other files first."
        ) from None
    except UnicodeEncodeError as error:
        raise DataError(f"the name {str(path)!r} is not UTF-8. Rename the file.") from error
    except OSError as error:
        raise unreadable(path, error) from error
