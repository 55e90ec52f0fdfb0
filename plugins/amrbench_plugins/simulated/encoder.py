"""An encoder of simulated recordings, with rows as wide as those of CLAP.

Latent vectors of audio and of words are embedded by two different random rotations, so a model must learn
which belong together; white noise is added. Other audio than that of `simulated` data gives meaningless rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from typing_extensions import override

from amrbench.content_hash import content_hash, seed_from
from amrbench.slots.features import FeatureBackend
from amrbench.types import Rows
from amrbench_plugins.simulated.latents import SIZE, sentence_latent, word_latent, words_of
from amrbench_plugins.simulated.recordings import RATE

WIDTH = 768
_VERSION = 1
_WORD, _SENTENCE, _TEXT_NOISE = 0.8, 0.5, 0.35
"""Lengths of the parts of a word's row: the word alone, its sentence, and noise."""


class SimulatedEncoder(FeatureBackend):
    """Rows of noise in which the latent vectors of recordings and words are embedded."""

    name = "simulated"
    audio_width = WIDTH
    text_width = WIDTH
    rate = RATE
    hop = 1.0

    def __init__(self, *, seed: int, noise: float, text: Literal["tokens", "sentence"]) -> None:
        self.seed, self.noise, self.text_rows = seed, noise, text

    @override
    def audio(self, waveform: Rows) -> Rows:
        """Return (T, WIDTH); the noise depends on the whole waveform."""
        rows = len(waveform) // RATE
        code = np.asarray(waveform[: rows * RATE], np.float32).reshape(rows, SIZE)
        noise = self._noise("audio", code.tobytes().hex(), rows=rows, length=self.noise)
        return np.asarray(noise + code @ self._embeddings[0], np.float32)

    @override
    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return a row for each word and one for the sentence, or the last one alone."""
        return [self._sentence(sentence) for sentence in sentences]

    @override
    def fingerprint(self) -> str:
        return content_hash([_VERSION, self.seed, self.noise, self.text_rows])

    def _sentence(self, sentence: str) -> Rows:
        words, whole = words_of(sentence), sentence_latent(sentence)
        rows = [_WORD * word_latent(word) + _SENTENCE * whole for word in words] + [whole]
        noise = self._noise("text", sentence, rows=len(rows), length=_TEXT_NOISE)
        embedded = noise + np.stack(rows) @ self._embeddings[1]
        return np.asarray(embedded[-1:] if self.text_rows == "sentence" else embedded, np.float32)

    def _noise(self, *names: str, rows: int, length: float) -> Rows:
        rng = np.random.default_rng(seed_from("simulated encoder", self.seed, *names))
        white = rng.standard_normal((rows, WIDTH), np.float32)
        white *= np.float32(length / np.sqrt(WIDTH))
        return white

    @cached_property
    def _embeddings(self) -> tuple[Rows, Rows]:
        """Return two matrices (SIZE, WIDTH) with orthonormal rows, for audio and for text."""
        audio, text = (
            np.linalg.qr(
                np.random.default_rng(seed_from("embedding", self.seed, kind)).standard_normal((WIDTH, SIZE))
            )[0].T.astype(np.float32)
            for kind in ("audio", "text")
        )
        return audio, text
