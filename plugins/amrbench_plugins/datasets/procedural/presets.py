"""The three kinds of clips of the procedural world and their sizes."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = 3
"""Raised whenever a clip, a caption or a window changes for the same seed."""


@dataclass(frozen=True)
class Bounds:
    """A closed range of a number."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What clips of one kind are made of.

    Attributes:
        name: As in protocols.
        code: Stands for the name in random seeds.
        seconds: Length of a clip.
        splits: Number of clips of each split.
        groups: Fewest and most sounds that queries ask for.
        distractors: Fewest and most sounds that no query asks for.
        length: Seconds of one event.
        repeats: Probability of 1, 2, ... occurrences of a sound.
        overlap_probability: That a block of events may overlap others.
        twin_probability: That one class occurs with both values in a clip.
        composite_probability: That a clip has an `A then B` or `A while B` block.
        near: Signal-to-noise ratio of near sounds, dB.
        far: Signal-to-noise ratio of far sounds, dB.
        far_probability: That a sound is far.
        value_probability: That the attribute is named where it need not be.
        distance_probability: That the distance is named.
        unseen_probability: That a test query for a single sound has the held-out wording.
    """

    name: str
    code: int
    seconds: float
    splits: dict[str, int]
    groups: tuple[int, int]
    distractors: tuple[int, int] = (0, 2)
    length: Bounds
    repeats: tuple[float, ...]
    overlap_probability: float
    twin_probability: float
    composite_probability: float
    near: Bounds
    far: Bounds
    far_probability: float
    value_probability: float = 0.6
    distance_probability: float = 0.15
    unseen_probability: float = 0.0


SHORT = Preset(
    name="short",
    code=1,
    seconds=60.0,
    splits={"train": 400, "val": 40},
    groups=(3, 5),
    length=Bounds(10.0, 25.0),
    repeats=(1.0,),
    overlap_probability=1.0,
    twin_probability=0.0,
    composite_probability=0.0,
    near=Bounds(4.0, 16.0),
    far=Bounds(-2.0, 6.0),
    far_probability=0.25,
)

LONG = Preset(
    name="long",
    code=2,
    seconds=120.0,
    splits={"train": 100, "val": 16},
    groups=(5, 7),
    length=Bounds(4.0, 20.0),
    repeats=(0.7, 0.3),
    overlap_probability=0.5,
    twin_probability=0.5,
    composite_probability=0.5,
    near=Bounds(4.0, 16.0),
    far=Bounds(-2.0, 6.0),
    far_probability=0.3,
)

SCENES = Preset(
    name="scenes",
    code=3,
    seconds=60.0,
    splits={"train": 160, "val": 40, "test": 160},
    groups=(3, 5),
    length=Bounds(2.5, 8.0),
    repeats=(0.75, 0.25),
    overlap_probability=0.25,
    twin_probability=0.5,
    composite_probability=0.9,
    near=Bounds(0.0, 12.0),
    far=Bounds(-4.0, 4.0),
    far_probability=0.3,
    unseen_probability=0.15,
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in (SHORT, LONG, SCENES)}
SPLIT_CODES: dict[str, int] = {"train": 1, "val": 2, "test": 3}
"""Stand for the splits in random seeds."""
