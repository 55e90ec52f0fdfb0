"""Decode audio with libsndfile.

Light modules import this one, so it loads the library soundfile late.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from amrbench.data.forward_reader import BLOCK, Channels, ForwardReader
from amrbench.files.audio_stream import AudioStream
from amrbench.files.file_view import FileView

if TYPE_CHECKING:
    from soundfile import SoundFile

CHECKED = frozenset({"WAV", "WAVEX", "RF64", "AIFF", "AU", "W64", "CAF", "FLAC", "OGG", "MP3"})
"""Formats, by their names in libsndfile, whose truncated files are noticed."""
_SAMPLE_BYTES = {
    **dict.fromkeys(("PCM_S8", "PCM_U8", "ULAW", "ALAW"), 1),
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
}
_LITTLE_ENDIAN = frozenset({"WAV", "WAVEX", "RF64", "W64"})
"""Formats whose samples begin with their lowest byte, unless their header says otherwise."""


class NotDecodedError(Exception):
    """Libsndfile does not decode a file; the text is the reason."""


@dataclass(frozen=True, eq=False)
class SndfileDecoder:
    """A stream of a file that libsndfile decodes.

    Attributes:
        path: The file.
        stream: What libsndfile is given of it.
        rate: Samples a second.
        samples: Number of samples of each channel.
        raw: How its samples are stored, if they are read without their header.
        in_order: Whether a part is right only if all before it is decoded, as in MPEG audio.
    """

    path: Path
    stream: AudioStream
    rate: int
    samples: int
    raw: tuple[tuple[str, str | int], ...] = ()
    in_order: bool = False

    def read(self, start: int, size: int) -> Channels:
        """Return some samples, (size, channels); fewer if decoding ends before.

        Raises:
            NotDecodedError: They cannot be decoded.
        """
        with _errors_explained():
            if self.in_order:
                return self._forward.read(start, size)
            self._opened.seek(start)
            channels: Channels = self._opened.read(size, dtype="float32", always_2d=True)
            return channels

    @cached_property
    def _opened(self) -> SoundFile:
        return _opened(self.path, self.stream, self.raw)

    @cached_property
    def _forward(self) -> ForwardReader:
        return ForwardReader(self._decode)

    def _decode(self) -> Iterator[Channels]:
        with _opened(self.path, self.stream) as file:
            # The library soundfile seeks after each read, and after that MPEG audio begins with silence.
            file.seekable = lambda: False
            left = self.samples
            while left and len(block := file.read(min(BLOCK, left), dtype="float32", always_2d=True)):
                yield block
                left -= len(block)


def sndfile_decoder(path: Path, stream: AudioStream) -> SndfileDecoder:
    """Return the decoder of a stream; its header is read, and nothing is decoded.

    Raises:
        NotDecodedError: Libsndfile does not know the format, or cannot read it without the right size.
    """
    with _errors_explained(), _opened(path, stream) as file:
        width = _SAMPLE_BYTES.get(file.subtype, 0) * file.channels
        samples = stream.count or file.frames
        if samples > file.frames:
            raise NotDecodedError(f"it holds {file.subtype_info} of varying bit rate, which is cut short")
        if stream.samples is None or (not width and stream.sized):
            # Libsndfile cannot go to a sample of GSM 6.10, G.721 and some kinds of ADPCM.
            in_order = file.subtype.startswith("MPEG") or not file.seekable()
            return SndfileDecoder(path, stream, file.samplerate, samples, in_order=in_order)
        if not width:
            reason = f"its header has a wrong size, and {file.subtype_info} is not read without it"
            raise NotDecodedError(reason)
        counted = len(stream.samples) // width
        # Libsndfile takes all that follows in a W64 for audio.
        if stream.sized and samples <= counted:
            return SndfileDecoder(path, stream, file.samplerate, samples)
        order = "LITTLE" if file.format in _LITTLE_ENDIAN else "BIG"
        raw = {
            "samplerate": file.samplerate,
            "channels": file.channels,
            "subtype": file.subtype,
            "endian": order if file.endian == "FILE" else file.endian,
        }
        return SndfileDecoder(path, stream, file.samplerate, counted, tuple(raw.items()))


def why_not_decoded(path: Path) -> str:
    """Return why a file of an unknown format is not decoded."""
    try:
        with _errors_explained(), _opened(path, AudioStream()) as file:
            if file.format in CHECKED:
                return "it is damaged or incomplete"
            return f"it holds {file.format_info}, a format whose truncated files are not noticed"
    except NotDecodedError as error:
        return str(error)


def _opened(path: Path, stream: AudioStream, raw: tuple[tuple[str, str | int], ...] = ()) -> SoundFile:
    import soundfile

    if raw and stream.samples is not None:
        return soundfile.SoundFile(FileView(path, [stream.samples]), format="RAW", **dict(raw))
    if stream.pieces:
        return soundfile.SoundFile(FileView(path, stream.pieces))
    # Given a name, the library would believe its suffix: of a .raw file, it wants to be told the rate.
    return soundfile.SoundFile(os.open(path, os.O_RDONLY), closefd=True)


@contextmanager
def _errors_explained() -> Iterator[None]:
    """Turn errors of libsndfile into NotDecodedError."""
    import soundfile

    try:
        yield
    except soundfile.LibsndfileError as error:
        raise NotDecodedError(str(error).split(": ", 1)[-1].strip().rstrip(".")) from None
