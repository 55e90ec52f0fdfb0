"""Clips of the procedural world: the audio of a plan, and the data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.slots.data import Dataset, KnowsQueries, Recording
from amrbench.types import Query
from amrbench_plugins.datasets.layouts.levels import at_level, mixed, with_changes
from amrbench_plugins.datasets.layouts.streams import stream
from amrbench_plugins.datasets.procedural import dsp, planning, sounds
from amrbench_plugins.datasets.procedural.dsp import RATE, Signal
from amrbench_plugins.datasets.procedural.planning import ScenePlan
from amrbench_plugins.datasets.procedural.presets import VERSION, Preset
from amrbench_plugins.datasets.procedural.sounds import Take


def render_clip(scene: ScenePlan) -> Recording:
    """Return the clip of a plan, the same everywhere."""
    waveform = mixed(rendered_background(scene), rendered_events(scene))
    return Recording(scene.vid, RATE, waveform, scene.queries)


def rendered_background(scene: ScenePlan) -> Signal:
    """Return the noise and the bed of a scene at their levels."""
    seconds = scene.layout.seconds
    signal = sounds.background(stream(scene.key, 2), scene.background, seconds=seconds)
    if scene.bed and scene.layout.bed:
        take = Take(stream(scene.key, 4), scene.bed.subject.value, scene.bed.section)
        bed = sounds.bed(take, scene.bed.subject.sound, seconds=seconds)
        signal = signal + bed * np.float32(10 ** (scene.layout.bed.level / 20))
    return at_level(signal, scene.level)


def rendered_events(scene: ScenePlan) -> list[tuple[int, Signal]]:
    """Return the first sample and the signal of each event, in the order of the layout.

    The signal-to-noise ratio is that of the RMS of an event to the RMS of the background.
    """
    rendered = []
    changes = scene.preset.laws.levels.changes
    for number, event in enumerate(scene.layout.events):
        rng, sound = stream(scene.key, 3, number), scene.sounds[event.sound]
        take = Take(rng, sound.subject.value, sound.section)
        signal = sounds.sound(take, sound.subject.sound, seconds=event.seconds)
        if sound.subject.far:
            signal = sounds.from_afar(rng, signal)
        signal = with_changes(rng, signal, changes, rate=RATE)
        rendered.append((dsp.samples(event.start), at_level(signal, scene.level + event.snr)))
    return rendered


class ProceduralDataset(Dataset, KnowsQueries):
    """Clips of one preset; each is rendered when it is asked for."""

    def __init__(self, preset: Preset, seed: int) -> None:
        self.preset, self.seed = preset, seed

    @override
    def splits(self) -> Sequence[str]:
        return list(self.preset.splits)

    @override
    def size(self, split: str) -> int:
        return self.preset.splits[split]

    @override
    def recording(self, split: str, index: int) -> Recording:
        return render_clip(planning.plan(self.preset, split, index, seed=self.seed))

    @override
    def queries(self, split: str, index: int) -> Sequence[Query]:
        return planning.plan(self.preset, split, index, seed=self.seed).queries

    @override
    def fingerprint(self) -> str:
        return content_hash([VERSION, asdict(self.preset), asdict(self.preset.laws), self.seed])
