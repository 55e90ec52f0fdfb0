"""What the two mixed data sets share: a clip as a `Recording`, and where its sounds came from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from amrbench.types import Query
from amrbench_plugins.datasets.corpora.sound import Wave


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixed clip; a `Recording` that knows where it came from."""

    vid: str
    rate: int
    waveform: Wave
    queries: tuple[Query, ...]
    provenance: Mapping[str, object]
    """Sources, licences, places and levels of background and events."""


def outward(start: float, end: float, longest: float) -> tuple[float, float]:
    """Return a window on a grid of 0.1 s that holds another."""
    first, last = math.floor(start * 10 + 1e-6) / 10, math.ceil(end * 10 - 1e-6) / 10
    return max(0.0, first), min(longest, last)
