"""Recordings without sound: each second of the waveform holds the latent vector of what happens in it.

    signal * (sum over sounds of gain * share of the second * latent) + background + drift

`amrbench_plugins.simulated.encoder` reads it. It cannot be listened to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from amrbench.content_hash import content_hash, seed_from
from amrbench.slots.data import Dataset, Recording
from amrbench.types import Query, Rows
from amrbench_plugins.simulated.latents import SIZE, sentence_latent, unit
from amrbench_plugins.simulated.queries import QuerySource

RATE = SIZE
"""Samples a second: one for each number of a latent vector."""
_MISSING = 0.1
"""Probability that an annotated sound is not in the recording."""
_JITTER = 0.1
"""Standard deviation of the error of either end of a window, as a fraction of its width."""
_OWN = 0.5
"""How much a sound differs from others with the same sentence, relative to what they share."""
_GAIN = (0.5, 1.3)
_OTHERS = 0.02
"""Sounds a second, on average, that no query describes."""
_OTHER_SECONDS = (1.5, 1.0)
"""Mean and standard deviation of the logarithm of their widths."""
_DRIFT, _CORRELATION = 0.5, 0.97
"""Length of the part that changes slowly, and its correlation from one second to the next."""


@dataclass(frozen=True, eq=False)
class SimulatedSound:
    """Something that happens in a recording, in seconds."""

    start: float
    end: float
    vector: Rows
    """(SIZE,) its latent times its gain."""


class SimulatedDataset(Dataset):
    """Recordings and queries; each is made when it is asked for."""

    def __init__(self, queries: QuerySource, *, seed: int, signal: float) -> None:
        self.source, self.seed, self.signal = queries, seed, signal

    @override
    def splits(self) -> Sequence[str]:
        return self.source.splits

    @override
    def size(self, split: str) -> int:
        return self.source.size(split)

    @override
    def recording(self, split: str, index: int) -> Recording:
        queries = self.source.queries(split, index)
        vid, duration = queries[0].vid, queries[0].duration
        rng = np.random.default_rng(seed_from("simulated recording", self.seed, vid))
        sounds = [*_described(queries, rng), *self._others(split, duration, rng)]
        seconds = int(np.ceil(duration))
        code = self.signal * mixed(sounds, seconds) + unit(rng) + drift(seconds, rng)
        waveform = np.clip(code, -1, 1).astype(np.float32).reshape(-1)[: round(duration * RATE)]
        return Recording(vid, RATE, waveform, queries)

    @override
    def fingerprint(self) -> str:
        return content_hash([self.source.fingerprint(), self.seed, self.signal])

    def _others(self, split: str, duration: float, rng: np.random.Generator) -> Iterator[SimulatedSound]:
        """Yield sounds that no query of this recording describes, but one of another recording."""
        for _ in range(rng.poisson(_OTHERS * duration)):
            query = self.source.queries(split, int(rng.integers(self.size(split))))[0]
            start, width = rng.uniform(0, duration), rng.lognormal(*_OTHER_SECONDS)
            vector = rng.uniform(*_GAIN) * sentence_latent(query.query)
            yield SimulatedSound(start, start + width, vector)


def _described(queries: Sequence[Query], rng: np.random.Generator) -> Iterator[SimulatedSound]:
    """Yield the sounds of the windows, as far as they are there, at about their times."""
    for query in queries:
        latent = sentence_latent(query.query) + _OWN * unit(rng)
        for start, end in query.windows:
            first, last = (start, end) + _JITTER * (end - start) * rng.standard_normal(2)
            gain = rng.uniform(*_GAIN) / np.linalg.norm(latent)
            if rng.random() >= _MISSING:
                yield SimulatedSound(float(first), float(last), gain * latent)


def mixed(sounds: Sequence[SimulatedSound], seconds: int) -> Rows:
    """Return (seconds, SIZE): the sum of the sounds, each times the share of the second that it fills."""
    if not sounds:
        return np.zeros((seconds, SIZE), np.float32)
    begin = np.arange(seconds)[:, None]
    starts, ends = (np.array([getattr(sound, name) for sound in sounds]) for name in ("start", "end"))
    share = np.clip(np.minimum(ends, begin + 1) - np.maximum(starts, begin), 0, 1).astype(np.float32)
    return np.asarray(share @ np.stack([sound.vector for sound in sounds]), np.float32)


def drift(seconds: int, rng: np.random.Generator) -> Rows:
    """Return (seconds, SIZE): an autoregressive process of order one with rows of about equal length."""
    from scipy.signal import lfilter

    noise = rng.standard_normal((seconds, SIZE)) * _DRIFT / np.sqrt(SIZE)
    noise[1:] *= np.sqrt(1 - _CORRELATION**2)
    return np.asarray(lfilter([1.0], [1.0, -_CORRELATION], noise, axis=0), np.float32)
