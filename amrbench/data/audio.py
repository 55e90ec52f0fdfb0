"""Read audio files, as long as they are.

Channels are averaged. Headers are not trusted: a file that holds less audio than its header says is refused,
one that holds more is read whole, with a note. Parts of data sets import this module, so it loads neither
soundfile nor PyAV.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from amrbench.data.audio_levels import Levels
from amrbench.data.media_decoder import MediaDecoder, has_pyav
from amrbench.data.sndfile_decoder import NotDecodedError, SndfileDecoder, sndfile_decoder, why_not_decoded
from amrbench.errors import DataError, some, unreadable
from amrbench.files.audio_layout import audio_layout
from amrbench.files.audio_stream import AudioLayout
from amrbench.files.media_kind import media_kind_of
from amrbench.files.wrong_content import wrong_audio
from amrbench.notes import note

Waveform = NDArray[np.float32]

SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".w64"),
    *(".oga", ".wave", ".bwf", ".rf64", ".aifc", ".snd", ".mp2", ".mpga"),
)
"""Of the files that libsndfile decodes."""
OTHER_SUFFIXES = (
    *(".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".aac", ".alac", ".webm", ".weba", ".mkv", ".mka"),
    *(".mpg", ".mpeg", ".ts", ".avi", ".flv", ".ogv", ".wma", ".wmv", ".asf", ".amr", ".ac3", ".wv"),
    ".ape",
)
"""Of other files with sound, which PyAV decodes."""
_BLOCK = 1 << 20
"""Samples that are decoded at a time."""


@dataclass(frozen=True, eq=False)
class AudioFile:
    """An audio file that was measured.

    Attributes:
        path: The file.
        decoders: Of its streams, which follow one another.
    """

    path: Path
    decoders: tuple[SndfileDecoder | MediaDecoder, ...]

    @property
    def rate(self) -> int:
        """Return the number of samples a second."""
        return self.decoders[0].rate

    @property
    def samples(self) -> int:
        """Return the number of samples of each channel."""
        return sum(decoder.samples for decoder in self.decoders)

    @property
    def seconds(self) -> float:
        """Return the length in seconds."""
        return self.samples / self.rate

    def read(self, start: int = 0, stop: int | None = None) -> Waveform:
        """Return the mean of the channels from one sample to another, (stop - start,) float32.

        If it is all of the recording, its level is noted where it is unusual.

        Raises:
            DataError: The file ends early, cannot be decoded, or holds values that are not finite.
        """
        stop = self.samples if stop is None else min(stop, self.samples)
        blocks, offset = [np.empty(0, np.float32)], 0
        with _errors_explained(self.path):
            for decoder in self.decoders:
                # A damaged header may promise more than memory holds, so nothing is allocated in advance.
                for first in range(max(start - offset, 0), min(stop - offset, decoder.samples), _BLOCK):
                    size = min(_BLOCK, min(stop - offset, decoder.samples) - first)
                    blocks.append(self._block(decoder, first, size))
                offset += decoder.samples
        waveform = np.concatenate(blocks)
        if not np.isfinite(waveform).all():
            raise DataError(f"{self.path}: holds samples that are not finite. Export the recording again.")
        if len(waveform) == self.samples:
            self.note_levels()
        return waveform

    def note_levels(self) -> None:
        """Issue notes about what was read so far, if it is silent, too loud or cancelled by averaging."""
        for finding in self._levels.findings(self.path):
            note(finding)

    def _block(self, decoder: SndfileDecoder | MediaDecoder, start: int, size: int) -> Waveform:
        try:
            channels = decoder.read(start, size)
        except NotDecodedError as error:
            raise DataError(
                f"{self.path}: truncated or damaged: decoding fails between the samples {start} and "
                f"{start + size} ({error}). Copy it again."
            ) from None
        if len(channels) < size:
            raise DataError(
                f"{self.path}: truncated: the header promises {decoder.samples} samples, decoding ends after "
                f"{start + len(channels)}. Copy it again."
            )
        with np.errstate(over="ignore", invalid="ignore"):  # Samples that are not finite are refused later.
            mean: Waveform = channels.mean(axis=1, dtype=np.float32)
        self._levels.add(channels, mean)
        return mean

    @cached_property
    def _levels(self) -> Levels:
        return Levels()


def readable_suffixes() -> tuple[str, ...]:
    """Return the suffixes of the files that can be decoded here, in lower case."""
    return SUFFIXES + OTHER_SUFFIXES if has_pyav() else SUFFIXES


def how_to_convert(path: PurePath) -> str:
    """Return how to make a file readable that has another format, as a sentence."""
    extra = "" if has_pyav() else ", or install PyAV, which the extra 'video' brings"
    return f"Convert it, e.g. with '{_conversion(path)}'{extra}."


def _conversion(path: PurePath, options: str = "") -> str:
    """Return the command that converts a file, with options for reading it."""
    target = path.with_suffix(".wav" if path.suffix.lower() == ".flac" else ".flac")
    # A name that begins with "-" would be an option.
    old, new = (quote(f"./{name}" if str(name).startswith("-") else str(name)) for name in (path, target))
    return f"ffmpeg {options}-i {old} -vn {new}"


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
    """Measure an audio file; what libsndfile does not know is decoded once.

    Raises:
        DataError: The file is missing, has an unknown format, holds no samples, less audio than it says, or
            recordings of several sampling rates.
    """
    if path.is_dir():
        names = some(sorted(file.name for file in path.iterdir() if file.suffix.lower() in SUFFIXES), 3)
        example = f", e.g. one of {names}" if names else ""
        raise DataError(f"{path}: is a folder. Name one recording{example}.")
    if not path.is_file():
        raise DataError(f"{path}: there is no such audio file.")
    with _errors_explained(path):
        str(path).encode("utf-8")  # Tables and pages name the file, and they are UTF-8.
        decoders, findings = _decoders(path)
    file = AudioFile(path, decoders)
    if rates := [decoder.rate for decoder in decoders if decoder.rate != file.rate]:
        raise DataError(
            f"{path}: holds recordings one after another, of {file.rate} and {rates[0]} samples a second. "
            "Make a file of each, or convert it."
        )
    if file.samples < 1:
        raise DataError(f"{path}: the recording has no samples.")
    if findings:
        note(f"{path}: {' and '.join(findings)}; it is read as {file.seconds:.1f} s.")
    return file


def _decoders(path: Path) -> tuple[tuple[SndfileDecoder | MediaDecoder, ...], list[str]]:
    """Return the decoders of a file, and what people must know of it, as predicates."""
    kind, layout = media_kind_of(path), audio_layout(path)
    try:
        if layout is None:
            raise NotDecodedError(f"it is {kind}" if kind else why_not_decoded(path))
        return tuple(sndfile_decoder(path, stream) for stream in layout.streams), list(layout.findings)
    except NotDecodedError as error:
        if not kind and (wrong := wrong_audio(path)):
            raise DataError(f"{path}: {wrong}") from None
        if layout:
            _refuse_read_in_part(path, layout, error)
        # Files of no known kind are not handed over: FFmpeg also takes lists of other files for audio.
        if has_pyav() and (kind or layout):
            decoder = MediaDecoder(path)
            return (decoder,), [*(layout.findings if layout else ()), *decoder.findings]
        remedy = "Known formats: WAV, FLAC, OGG, MP3, AIFF, AU, CAF and W64; convert other files first."
        raise DataError(
            f"{path}: cannot be read as audio ({error}). {how_to_convert(path) if kind or layout else remedy}"
        ) from None


def _refuse_read_in_part(path: Path, layout: AudioLayout, error: NotDecodedError) -> None:
    """Raise DataError for a file that libsndfile does not decode, and of which FFmpeg would read a part.

    FFmpeg believes the size in the first header.
    """
    chunks = [stream for stream in layout.streams if stream.samples is not None]
    joined = len(layout.streams) > 1
    if not any(joined or stream.undercounted for stream in chunks):
        return
    remedy = "Export the recording again"
    if not joined and path.suffix.lower() in (".wav", ".wave", ".bwf"):
        remedy += f", or convert it, e.g. with '{_conversion(path, '-ignore_length 1 ')}'"
    raise DataError(
        f"{path}: {' and '.join(layout.findings)}. It cannot be read as audio ({error}). {remedy}."
    )


@contextmanager
def _errors_explained(path: Path) -> Iterator[None]:
    """Turn errors of the file system into DataError."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise DataError(f"the name {str(path)!r} is not UTF-8. Rename the file.") from error
    except OSError as error:
        raise unreadable(path, error) from error
