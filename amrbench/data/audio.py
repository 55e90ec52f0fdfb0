"""Read audio files of the usual kinds.

Channels are averaged. Files that end too early are refused: libsndfile itself reads a truncated WAV file as
if it were a shorter recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from amrbench.errors import DataError
from amrbench.files.truncated_audio import CHECKED, find_truncation

Waveform = NDArray[np.float32]

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".w64")
_BLOCK = 1 << 20
_UNKNOWN_SAMPLES = 1 << 62
"""What libsndfile says, or more, of a stream that was written before its length was known."""


@dataclass(frozen=True)
class AudioFile:
    """An audio file that can be opened.

    Attributes:
        path: The file.
        rate: Samples a second.
        samples: Of each channel.
    """

    path: Path
    rate: int
    samples: int

    @property
    def seconds(self) -> float:
        """Return the length."""
        return self.samples / self.rate

    def read(self, start: int = 0, stop: int | None = None) -> Waveform:
        """Return the mean of the channels from one sample to another, (stop - start,) float32.

        Raises:
            DataError: The file ends early, cannot be decoded, or holds values that are not finite.
        """
        stop = self.samples if stop is None else min(stop, self.samples)
        with _explained(self.path):
            self._opened.seek(start)
            pieces = list(self._pieces(stop - start))
        found = np.concatenate([np.empty(0, np.float32), *pieces])
        if len(found) < stop - start:
            raise _early(self.path, start + len(found), self.samples)
        if not np.isfinite(found).all():
            raise DataError(f"{self.path}: holds samples that are not finite. Export the recording again.")
        return found

    @cached_property
    def _opened(self) -> soundfile.SoundFile:
        # MP3 has no index: a file that is opened anew is decoded from its beginning to find a place.
        return soundfile.SoundFile(self.path)

    def _pieces(self, samples: int) -> Iterator[Waveform]:
        # A header may promise more than memory holds, so room is made as the file goes on.
        for at in range(0, samples, _BLOCK):
            channels = self._opened.read(min(_BLOCK, samples - at), dtype="float32", always_2d=True)
            yield channels.mean(axis=1, dtype=np.float32)
            if len(channels) < min(_BLOCK, samples - at):
                return


def audio_by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """Return the audio files among some files by their names without the suffix.

    Raises:
        DataError: Two of them have one name, so that it is not known which is meant.
    """
    found: dict[str, Path] = {}
    for path in sorted(path for path in files if path.suffix.lower() in SUFFIXES):
        if path.stem in found:
            raise DataError(f"{path}: {found[path.stem]} has the same name; move one of them away.")
        found[path.stem] = path
    return found


def open_audio(path: Path) -> AudioFile:
    """Return what a file holds without decoding it.

    Raises:
        DataError: There is no such file, it is no audio of a known format, it is empty or truncated.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such audio file.")
    with _explained(path):
        _refuse_truncated(path)
        info = soundfile.info(path)
    _refuse_unchecked(path, info.format, info.format_info)
    if info.frames < 1:
        raise DataError(f"{path}: the recording has no samples.")
    if info.frames >= _UNKNOWN_SAMPLES:
        raise DataError(f"{path}: does not say how long it is. Convert it again, into a file.")
    return AudioFile(path, info.samplerate, info.frames)


def _refuse_truncated(path: Path) -> None:
    if said := find_truncation(path):
        raise DataError(f"{path}: truncated: {said}. Copy it again.")


def _refuse_unchecked(path: Path, kind: str, name: str) -> None:
    if kind not in CHECKED:
        raise DataError(
            f"{path}: holds {name}, and of that format a truncated file cannot be told from a whole one. "
            "Convert it, for example to FLAC."
        )


def _early(path: Path, found: int, promised: int) -> DataError:
    return DataError(
        f"{path}: truncated: {promised} samples are promised, decoding ends after {found}. Copy it again."
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
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
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
