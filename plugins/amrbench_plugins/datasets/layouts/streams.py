"""Random numbers that depend on a key alone, and points that cover a cube evenly from the first on."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from amrbench.types import Floats

Rng = np.random.Generator
Key = tuple[int, ...]

_BLOCK = 32
"""Points that come in random order, so that neighbours in number are none in the cube."""
_SHIFT, _ORDER = 1001, 1002
"""Stages of the random generators of even points; other stages are smaller."""


def stream(key: Key, *stage: int) -> Rng:
    """Return the random generator of one stage of what a key names."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence((*key, *stage))))


def even_point(key: Key, number: int, dimensions: int) -> Floats:
    """Return (dimensions,) point `number` of a sequence that fills the unit cube evenly.

    It is the additive recurrence of the generalised golden ratio (Roberts 2018) from a random start, in
    random order within blocks. The first n points are stratified for any n, so a small split has the law of
    a large one, and a larger split begins with the recordings of the smaller one.
    """
    block, position = divmod(number, _BLOCK)
    index = block * _BLOCK + _order(key, block)[position]
    return np.asarray((_start(key, dimensions) + index * _steps(dimensions)) % 1.0)


@lru_cache(maxsize=64)
def _steps(dimensions: int) -> Floats:
    ratio = 2.0
    for _ in range(64):  # a fixed point of ratio ** (dimensions + 1) = ratio + 1
        ratio = (1 + ratio) ** (1 / (dimensions + 1))
    return ratio ** -np.arange(1.0, dimensions + 1)


@lru_cache(maxsize=64)
def _start(key: Key, dimensions: int) -> Floats:
    return stream(key, _SHIFT, dimensions).random(dimensions)


@lru_cache(maxsize=256)
def _order(key: Key, block: int) -> tuple[int, ...]:
    return tuple(stream(key, _ORDER, block).permutation(_BLOCK).tolist())
