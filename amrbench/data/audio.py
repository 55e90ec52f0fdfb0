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
_KERNEL_NUMBERS = 1 << 20
"""How many numbers the kernels of one group of phases may have."""
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
    common = math.gcd(rate, wanted)
    old, new = rate // common, wanted // common
    reach = _reach(old, new)
    padded = np.pad(waveform, (reach, reach + old))
    found = np.empty((len(waveform) // old + 1, new), np.float32)
    for phases in _groups(old, new):
        found[:, phases.start : phases.stop] = _at_phases(padded, old, new, phases)
    return found.reshape(-1)[: resampled(len(waveform), rate, wanted)]


def resampled(samples: int, rate: int, wanted: int) -> int:
    """Return how many samples `resample` makes of so many."""
    return -(-samples * wanted // rate)


def _reach(old: int, new: int) -> int:
    """Return how many old samples a kernel reaches to either side."""
    return math.ceil(_ZERO_CROSSINGS * old / (min(old, new) * _ROLL_OFF))


def _groups(old: int, new: int) -> Iterator[range]:
    """Yield the places between two old samples (phases), in groups whose kernels are small.

    The kernels of neighbouring phases overlap, so a few together are quicker than each alone. Rates with a
    large common divisor, as the usual ones have, need one group; for 44,101 Hz, kernels of all phases at
    once would be zeros almost throughout, and fill gigabytes.
    """
    reach = _reach(old, new)
    together = new if new * (2 * reach + old) <= _KERNEL_NUMBERS else max(1, 2 * reach * new // old)
    for start in range(0, new, together):
        yield range(start, min(start + together, new))


def _at_phases(padded: Waveform, old: int, new: int, phases: range) -> Waveform:
    """Return the new samples (samples // old + 1, phases) that lie at some phases."""
    import torch

    kernels = _sinc_kernels(old, new, phases)
    first = phases.start * old // new
    # What all phases would look at, less the samples before the first and after the last of these.
    length = len(padded) - (2 * _reach(old, new) + old) + kernels.shape[2]
    heard = torch.from_numpy(padded[first : first + length])
    found: Waveform = torch.nn.functional.conv1d(heard[None, None], kernels, stride=old)[0].T.numpy()
    return found


@lru_cache(maxsize=32)
def _sinc_kernels(old: int, new: int, phases: range) -> Tensor:
    """Return kernels (phases, 1, K), which begin as many samples before the first phase as they reach."""
    import torch

    cut, reach = min(old, new) * _ROLL_OFF, _reach(old, new)
    first, last = phases.start * old // new, -(-phases.stop * old // new)
    at = torch.arange(first - reach, last + reach, dtype=torch.float64)[None] / old
    phase = torch.arange(-phases.start, -phases.stop, -1, dtype=torch.float64)[:, None] / new
    turns = ((at + phase) * cut).clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = torch.cos(turns * math.pi / _ZERO_CROSSINGS / 2) ** 2
    kernels = torch.sinc(turns) * window * (cut / old)
    return kernels[:, None].float()


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
