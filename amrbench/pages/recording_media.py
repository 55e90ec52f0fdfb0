"""The sound and the spectrogram of a recording, as a page holds them."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from amrbench.data.audio import AudioFile
from amrbench.data.mel_spectrogram import mel_spectrogram
from amrbench.pages.timeline import Media, Spectrogram

_RANGE = 60.0
"""Decibels from black to white."""
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_VORBIS_RATES = range(8000, 192_001)
_KINDS = {"MP3": "audio/mpeg", "OGG": "audio/ogg", "WAV": "audio/wav"}


def sound(file: AudioFile, start: float = 0.0, end: float | None = None) -> Media:
    """Return a recording, or what is from one second to another of it, as MP3 of about 70 kbit/s, mono.

    At sampling rates that MP3 does not have, it is Ogg Vorbis or WAV.
    """
    import soundfile

    form = "MP3" if file.rate in _MP3_RATES else "OGG" if file.rate in _VORBIS_RATES else "WAV"
    first = round(start * file.rate)
    last = file.samples if end is None else min(file.samples, round(end * file.rate))
    encoded = BytesIO()
    with soundfile.SoundFile(encoded, "w", file.rate, 1, format=form) as writer:
        for second in range(first, last, file.rate):
            writer.write(np.clip(file.read(second, min(second + file.rate, last)), -1, 1))
    return Media(encoded.getvalue(), _KINDS[form])


def spectrogram(file: AudioFile, *, columns: int = 2400) -> Spectrogram:
    """Return a grey picture of a recording; see `mel_spectrogram`. The loudest is white."""
    decibels, highest = mel_spectrogram(file, columns=columns)
    levels = np.clip(1 + (decibels - decibels.max()) / _RANGE, 0, 1)
    return Spectrogram(png(np.round(255 * levels[::-1]).astype(np.uint8)), "image/png", highest)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a grey picture (height, width), whose first row is at the top, as PNG (W3C, third edition)."""
    height, width = pixels.shape
    rows = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # The filter of each row: none.
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )
