"""The three kinds of clips of the procedural world and their sizes."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = 3
"""Raised whenever a clip, a caption or a window changes for the same seed."""


@dataclass(frozen=True)
class Span:
    """A closed range of a number."""

    low: float
    high: float


@dataclass(frozen=True)
class Preset:
    """What clips of one kind are made of; shares are probabilities, signal-to-noise ratios in dB."""

    name: str
    code: int
    seconds: float
    splits: dict[str, int]
    """Number of clips of each split."""
    groups: tuple[int, int]
    """Fewest and most sounds that are asked for."""
    distractors: tuple[int, int]
    """Fewest and most sounds that nobody asks for."""
    length: Span
    """Seconds of one event."""
    repeats: tuple[float, ...]
    """Probability of 1, 2, ... occurrences of a sound."""
    overlap: float
    """Share of blocks that may be laid over others."""
    twins: float
    """Share of clips in which one class occurs with both values."""
    composites: float
    """Share of clips with an `A then B` or `A while B` block."""
    near: Span
    """Signal-to-noise ratio of near sounds."""
    far: Span
    """Signal-to-noise ratio of far sounds."""
    far_share: float
    value_share: float
    """How often the attribute is named where it need not be."""
    distance_share: float
    unseen_share: float
    """Share of test queries in the held-out wording."""


SHORT = Preset(
    name="short",
    code=1,
    seconds=60.0,
    splits={"train": 400, "val": 40},
    groups=(3, 5),
    distractors=(0, 2),
    length=Span(10.0, 25.0),
    repeats=(1.0,),
    overlap=1.0,
    twins=0.0,
    composites=0.0,
    near=Span(4.0, 16.0),
    far=Span(-2.0, 6.0),
    far_share=0.25,
    value_share=0.6,
    distance_share=0.15,
    unseen_share=0.0,
)

LONG = Preset(
    name="long",
    code=2,
    seconds=120.0,
    splits={"train": 100, "val": 16},
    groups=(5, 7),
    distractors=(0, 2),
    length=Span(4.0, 20.0),
    repeats=(0.7, 0.3),
    overlap=0.5,
    twins=0.5,
    composites=0.5,
    near=Span(4.0, 16.0),
    far=Span(-2.0, 6.0),
    far_share=0.3,
    value_share=0.6,
    distance_share=0.15,
    unseen_share=0.0,
)

SCENES = Preset(
    name="scenes",
    code=3,
    seconds=60.0,
    splits={"train": 160, "val": 40, "test": 160},
    groups=(3, 5),
    distractors=(0, 2),
    length=Span(2.5, 8.0),
    repeats=(0.75, 0.25),
    overlap=0.25,
    twins=0.5,
    composites=0.9,
    near=Span(0.0, 12.0),
    far=Span(-4.0, 4.0),
    far_share=0.3,
    value_share=0.6,
    distance_share=0.15,
    unseen_share=0.15,
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in (SHORT, LONG, SCENES)}
SPLIT_CODES: dict[str, int] = {"train": 1, "val": 2, "test": 3}
