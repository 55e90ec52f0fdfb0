"""Encoders whose files are read when they are first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from typing_extensions import override

from amrbench.slots.features import FeatureBackend
from amrbench.types import Rows

if TYPE_CHECKING:
    from torch import nn


class LoadedEncoder(Protocol):
    """An encoder with its weights in memory."""

    def audio(self, waveform: Rows) -> Rows:
        """Return (T, Da) for a mono waveform (samples,)."""

    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return (L, Dt) for each sentence."""

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the numbers."""


@dataclass
class LazyEncoder(FeatureBackend):
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
    def fingerprint(self) -> str:
        return self._loaded.fingerprint()


def whole_seconds(waveform: Rows, rate: int) -> Rows:
    """Return the whole seconds of a waveform (samples,) as rows (T, rate)."""
    count = len(waveform) // rate
    return waveform[: count * rate].reshape(count, rate)


def count_parameters(make: Callable[[], nn.Module]) -> int:
    """Return the number of weights of a module; it is made without memory for them."""
    import torch

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make().parameters())
