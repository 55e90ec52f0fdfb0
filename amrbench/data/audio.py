"""Read audio files of any kind that libsndfile knows, and change their rate.

Channels are averaged. Files that end too early are refused: libsndfile itself reads a truncated WAV file as
if it were a shorter recording.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from numpy.typing import NDArray

from amrbench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

Waveform = NDArray[np.float32]

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".w64")
_ZERO_CROSSINGS = 6
_ROLL_OFF = 0.99
_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF)
"""What a WAV header says that was written before the length was known."""


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
        with _explained(self.path), soundfile.SoundFile(self.path) as file:
            file.seek(start)
            channels = file.read(stop - start, dtype="float32", always_2d=True)
        if len(channels) < stop - start:
            raise _early(self.path, start + len(channels), self.samples)
        if not np.isfinite(channels).all():
            raise DataError(f"{self.path}: holds samples that are not finite. Export the recording again.")
        return np.ascontiguousarray(channels.mean(axis=1, dtype=np.float32))


def open_audio(path: Path) -> AudioFile:
    """Return what a file holds without decoding it.

    Raises:
        DataError: There is no such file, it is no audio that libsndfile knows, it is empty or truncated.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such audio file.")
    with _explained(path):
        _refuse_truncated_wav(path)
        info = soundfile.info(path)
    if info.frames < 1:
        raise DataError(f"{path}: the recording has no samples.")
    return AudioFile(path, info.samplerate, info.frames)


def resample(waveform: Waveform, rate: int, wanted: int) -> Waveform:
    """Return mono audio at another rate: (ceil(samples * wanted / rate),) float32.

    A windowed sinc with a low pass where it is needed: 6 zero crossings on either side, a roll-off of 0.99
    of the lower Nyquist frequency and a squared cosine as the window, which are the defaults of the library
    that published features were made with (torchaudio).
    """
    if rate == wanted:
        return waveform
    import torch

    common = math.gcd(rate, wanted)
    old, new = rate // common, wanted // common
    kernels, reach = _sinc_kernels(old, new)
    padded = torch.nn.functional.pad(torch.from_numpy(waveform)[None, None], (reach, reach + old))
    phases = torch.nn.functional.conv1d(padded, kernels, stride=old)[0]
    return phases.T.reshape(-1)[: resampled(len(waveform), rate, wanted)].numpy()


def resampled(samples: int, rate: int, wanted: int) -> int:
    """Return how many samples `resample` makes of so many."""
    return -(-samples * wanted // rate)


@lru_cache(maxsize=32)
def _sinc_kernels(old: int, new: int) -> tuple[Tensor, int]:
    """Return kernels (new, 1, K), one for each place between two old samples, and how far they reach."""
    import torch

    cut = min(old, new) * _ROLL_OFF
    reach = math.ceil(_ZERO_CROSSINGS * old / cut)
    at = torch.arange(-reach, reach + old, dtype=torch.float64)[None] / old
    phase = torch.arange(0, -new, -1, dtype=torch.float64)[:, None] / new
    turns = ((at + phase) * cut).clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = torch.cos(turns * math.pi / _ZERO_CROSSINGS / 2) ** 2
    kernels = torch.sinc(turns) * window * (cut / old)
    return kernels[:, None].float(), reach


def _refuse_truncated_wav(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return
        while len(chunk := file.read(8)) == 8:
            length = struct.unpack("<I", chunk[4:])[0]
            there = size - file.tell()
            if chunk[:4] == b"data" and length not in _UNKNOWN_LENGTHS and length > there:
                raise DataError(
                    f"{path}: truncated: the header promises {length} bytes of audio, the file has {there}. "
                    "Copy it again."
                )
            file.seek(length + length % 2, 1)


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
            f"{path}: cannot be read as audio ({reason}). Known formats: WAV, FLAC, OGG, MP3, AIFF and what "
            "else libsndfile reads; convert other files first."
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
