"""Encoders whose files are read when they are first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Rows = NDArray[np.float32]


class LoadedEncoder(Protocol):
    """An encoder with its weights in memory."""

    def audio(self, waveform: Rows) -> Rows:
        """Return (T, Da) for a mono waveform (samples,)."""

    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return (L, Dt) for each sentence."""

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the numbers."""


@dataclass
class LazyEncoder:
    """A `Backend` that knows its sizes at once and opens its files at the first question."""

    name: str
    rate: int
    audio_width: int
    text_width: int
    open: Callable[[], LoadedEncoder]
    """Raises DataError if a file is missing or wrong."""
    hop: float = 1.0

    @cached_property
    def _opened(self) -> LoadedEncoder:
        return self.open()

    def audio(self, waveform: Rows) -> Rows:
        """Return (T, Da) for a mono waveform (samples,); T = floor(seconds)."""
        return self._opened.audio(waveform)

    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return (L, Dt) for each sentence."""
        return self._opened.text(sentences)

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the numbers."""
        return self._opened.fingerprint()


def seconds_of(waveform: Rows, rate: int) -> Rows:
    """Return the whole seconds of a waveform (samples,) one below the other, (T, rate)."""
    count = len(waveform) // rate
    return waveform[: count * rate].reshape(count, rate)


def count(make: Callable[[], nn.Module]) -> int:
    """Return how many weights a module has that is never given memory."""
    with torch.device("meta"):
        return sum(each.numel() for each in make().parameters())
