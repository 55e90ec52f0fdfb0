"""MP3s of several kinds, made with libsndfile."""

import io
from functools import lru_cache

import numpy as np
import soundfile

from amrbench.files.mpeg_frames import mpeg_audio


def tone(rate: int, seconds: float, hertz: float = 440.0) -> np.ndarray:
    """Return a tone that grows louder, so that frames of variable rate differ in size."""
    time = np.arange(round(rate * seconds)) / rate
    noise = np.random.default_rng(0).normal(0, 0.2, len(time)) * (time > seconds / 2)
    return 0.3 * np.sin(2 * np.pi * hertz * time) + noise


@lru_cache
def mp3(rate: int = 44100, seconds: float = 3.0, channels: int = 1, mode: str = "VARIABLE") -> bytes:
    """Return an MP3 with an Info frame."""
    file = io.BytesIO()
    wave = np.stack([tone(rate, seconds, 440.0 + 220 * channel) for channel in range(channels)], 1)
    soundfile.write(file, wave, rate, format="MP3", bitrate_mode=mode, compression_level=0.6)
    return file.getvalue()


def without_info(content: bytes) -> bytes:
    """Return an MP3 without its Info frame, as many programs write it."""
    info = mpeg_audio(content, 0, len(content)).sections[0].info
    assert info is not None
    return content[info.position.stop :]
