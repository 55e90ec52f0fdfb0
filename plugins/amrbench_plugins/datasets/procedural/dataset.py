"""The procedural scenes as a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.slots.data import Dataset, DatasetPart
from amrbench_plugins.datasets.procedural.presets import PRESETS, VERSION

if TYPE_CHECKING:
    from amrbench_plugins.datasets.procedural.scenes import RenderedClip


class Procedural(DatasetPart):
    """Scenes of synthetic sounds, made on this machine and the same everywhere for the same seed.

    short: one-minute clips with single sounds, to pre-train on. long: two-minute clips. scenes: one-minute
    scenes with composites (A then B, A while B) and two variants of one sound, to be scored on.
    """

    use = "procedural"
    preset: Literal["short", "long", "scenes"] = Field("scenes", description="kind of clips")
    seed: int = Field(0, ge=0, description="another seed, another world")

    @override
    def build(self) -> Dataset:
        return ProceduralDataset(self.preset, self.seed)


class ProceduralDataset(Dataset):
    """Clips of one preset; each is rendered when it is asked for."""

    def __init__(self, preset: str, seed: int) -> None:
        self._preset = PRESETS[preset]
        self._seed = seed

    @override
    def splits(self) -> Sequence[str]:
        return list(self._preset.splits)

    @override
    def size(self, split: str) -> int:
        return self._preset.splits[split]

    @override
    def recording(self, split: str, index: int) -> RenderedClip:
        # Imported late: scipy is not needed to list the parts.
        from amrbench_plugins.datasets.procedural.scenes import clip

        return clip(self._preset.name, split, index, self._seed)

    @override
    def fingerprint(self) -> str:
        return content_hash([VERSION, asdict(self._preset), self._seed])
