"""Encoders whose files are read when they are first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from typing_extensions import override

from amrbench.slots.features import CutsSentences, FeatureBackend
from amrbench.types import Rows

if TYPE_CHECKING:
    from torch import nn


class LoadedEncoder(Protocol):
    """An encoder with its weights in memory."""

    def audio(self, waveform: Rows) -> Rows:
        """Return (T, Da) for a mono waveform (samples,)."""

    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return (L, Dt) for each sentence."""

    def too_long(self, sentences: Sequence[str]) -> list[str]:
        """Return the sentences of which `text` reads only the beginning."""

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the numbers."""


@dataclass
class LazyEncoder(FeatureBackend, CutsSentences):
    """A `FeatureBackend` that knows its sizes at once and reads its files at the first call of a method."""

    name: str
    rate: int
    audio_width: int
    text_width: int
    load: Callable[[], LoadedEncoder]
    """Raises DataError if a file is missing or wrong."""
    hop: float = 1.0

    @cached_property
    def _loaded(self) -> LoadedEncoder:
        return self.load()

    @override
    def audio(self, waveform: Rows) -> Rows:
        return self._loaded.audio(waveform)

    @override
    def text(self, sentences: Sequence[str]) -> list[Rows]:
        return self._loaded.text(sentences)

    @override
    def too_long(self, sentences: Sequence[str]) -> list[str]:
        return self._loaded.too_long(sentences)

    @cached_property
    def _fingerprint(self) -> str:
        return self._loaded.fingerprint()  # Hashes all files.

    @override
    def fingerprint(self) -> str:
        return self._fingerprint


def encode_seconds(
    waveform: Rows, rate: int, *, batch: int, width: int, encode: Callable[[Rows], Rows]
) -> Rows:
    """Return a row for each whole second of a waveform (samples,), encoded without its neighbours.

    Args:
        waveform: At `rate` samples a second.
        rate: Of the encoder.
        batch: Seconds that are encoded at a time.
        width: Of the rows.
        encode: From seconds (n, rate) to rows (n, width).
    """
    seconds = whole_seconds(np.ascontiguousarray(waveform, np.float32), rate)
    return encode_batches(seconds, batch=batch, width=width, encode=encode)


def encode_batches(pieces: Rows, *, batch: int, width: int, encode: Callable[[Rows], Rows]) -> Rows:
    """Return a row (width,) for each piece of a waveform; `batch` of them are encoded at a time."""
    batches = [encode(pieces[start : start + batch]) for start in range(0, len(pieces), batch)]
    return np.concatenate([np.zeros((0, width), np.float32), *batches])


def whole_seconds(waveform: Rows, rate: int) -> Rows:
    """Return the whole seconds of a waveform (samples,) as rows (T, rate)."""
    count = len(waveform) // rate
    return waveform[: count * rate].reshape(count, rate)


def count_parameters(make: Callable[[], nn.Module]) -> int:
    """Return the number of weights of a module; it is made without memory for them."""
    import torch

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make().parameters())
