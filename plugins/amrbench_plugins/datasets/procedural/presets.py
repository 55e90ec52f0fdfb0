"""The four kinds of clips of the procedural world and their sizes."""

from __future__ import annotations

from dataclasses import dataclass

from amrbench_plugins.datasets.layouts.laws import Laws
from amrbench_plugins.datasets.layouts.presets import LAWS

VERSION = 4
"""Raised whenever a clip, a caption or a window changes for the same seed."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What clips of one kind are made of.

    Attributes:
        name: As in protocols.
        code: Stands for the name in random seeds.
        splits: Number of clips of each split.
        twin_probability: That one class occurs with both values in a clip.
        voice_weight: How much more often a sound is a voice than one of the other classes.
        value_probability: That the attribute is named where it need not be.
        distance_probability: That the distance is named.
        unseen_probability: That a test query has the held-out wording.
        unseen_take_probability: That a sound of a test clip has held-out takes.
    """

    name: str
    code: int
    splits: dict[str, int]
    twin_probability: float
    voice_weight: float = 6.0
    value_probability: float = 0.6
    distance_probability: float = 0.15
    unseen_probability: float = 0.2
    unseen_take_probability: float = 0.25

    @property
    def laws(self) -> Laws:
        """Return the laws of its layouts."""
        return LAWS[self.name]


SHORT = Preset(name="short", code=1, splits={"train": 400, "val": 40}, twin_probability=0.0)
LONG = Preset(name="long", code=2, splits={"train": 100, "val": 16}, twin_probability=0.5)
SCENES = Preset(name="scenes", code=3, splits={"train": 320, "val": 80, "test": 240}, twin_probability=0.3)
SCENES_SMALL = Preset(
    name="scenes-small", code=4, splits={"train": 240, "val": 60, "test": 160}, twin_probability=0.3
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in (SHORT, LONG, SCENES, SCENES_SMALL)}
SPLIT_CODES: dict[str, int] = {"train": 1, "val": 2, "test": 3}
"""Stand for the splits in random seeds."""
