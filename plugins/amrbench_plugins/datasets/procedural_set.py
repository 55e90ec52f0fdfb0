"""The procedural world as a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from amrbench.slots.data import Dataset, DatasetPart
from amrbench.types import Query
from amrbench_plugins.datasets.procedural.presets import PRESETS, VERSION

KEYS = frozenset({"qid", "query", "vid", "duration", "relevant_windows"})


class Procedural(DatasetPart):
    """Scenes of synthetic sounds, made on this machine and the same everywhere for the same seed.

    short: one-minute clips with single sounds, to pre-train on. long: two-minute clips. scenes: one-minute
    scenes with composites (A then B, A while B) and two variants of one sound, to be scored on.
    """

    use = "procedural"
    preset: Literal["short", "long", "scenes"] = Field("scenes", description="kind of clips")
    seed: int = Field(0, ge=0, description="another seed, another world")

    def build(self) -> Dataset:
        """Return the data set; clips are made when they are asked for."""
        return ProceduralDataset(self.preset, self.seed)


@dataclass(frozen=True, eq=False)
class Clip:
    """One recording and the queries about it."""

    vid: str
    rate: int
    waveform: NDArray[np.float32]
    """(samples,)"""
    queries: tuple[Query, ...]


class ProceduralDataset:
    """See `Procedural`."""

    def __init__(self, preset: str, seed: int) -> None:
        self._preset = PRESETS[preset]
        self._seed = seed

    def splits(self) -> Sequence[str]:
        """Return the names of the splits."""
        return list(self._preset.splits)

    def size(self, split: str) -> int:
        """Return the number of recordings of a split."""
        return self._preset.splits[split]

    def recording(self, split: str, index: int) -> Clip:
        """Return one recording; the same every time, whatever was asked before."""
        from amrbench_plugins.datasets.procedural.scenes import clip

        made = clip(self._preset.name, split, index, self._seed)
        return Clip(made.vid, made.rate, made.audio, tuple(_query(row) for row in made.rows))

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the recordings and queries."""
        return hashlib.sha256(repr((VERSION, self._preset, self._seed)).encode()).hexdigest()[:24]


def _query(row: Mapping[str, Any]) -> Query:
    return Query(
        qid=row["qid"],
        query=row["query"],
        vid=row["vid"],
        duration=float(row["duration"]),
        windows=tuple((float(start), float(end)) for start, end in row["relevant_windows"]),
        extra={key: value for key, value in row.items() if key not in KEYS},
    )
