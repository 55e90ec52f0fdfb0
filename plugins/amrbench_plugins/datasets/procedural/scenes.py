"""Clips of the procedural world: audio, and queries with windows that are measured in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.slots.data import Dataset
from amrbench.types import Query, Window
from amrbench_plugins.datasets.procedural import dsp, planning, sounds
from amrbench_plugins.datasets.procedural.dsp import RATE, Signal
from amrbench_plugins.datasets.procedural.planning import ScenePlan
from amrbench_plugins.datasets.procedural.presets import VERSION, Preset

_AUDIBLE = 10 ** (-40 / 20)
"""Fraction of an event's peak above which a sample counts as audible: -40 dB."""
_FULL_SCALE = 0.98
"""Largest peak of a clip."""
TIGHT = 4.0
"""Longest tight window in seconds; an error of one second at either end costs much there."""


@dataclass(frozen=True)
class RenderedEvent:
    """One event before mixing.

    Attributes:
        first: Its first sample in the clip.
        signal: (samples,) at its level in the clip.
    """

    first: int
    signal: Signal

    @property
    def window(self) -> Window:
        """Return start and end in seconds of what is above -40 dB of the event's peak, to 0.1 s."""
        level = np.abs(self.signal)
        audible = np.flatnonzero(level > _AUDIBLE * level.max())
        first, end = self.first + int(audible[0]), self.first + int(audible[-1]) + 1
        return round(first / RATE, 1), round(end / RATE, 1)


@dataclass(frozen=True, eq=False)
class RenderedClip:
    """A clip and the queries about it; a `Recording`."""

    vid: str
    rate: int
    waveform: Signal
    """(samples,)"""
    queries: tuple[Query, ...]


def render_clip(scene: ScenePlan) -> RenderedClip:
    """Return the clip of a plan, the same everywhere."""
    mix, events = rendered_background(scene), rendered_events(scene)
    for event in events:
        segment = mix[event.first : event.first + len(event.signal)]
        segment += event.signal[: len(segment)]  # a view: this changes the mix
    waveform = np.asarray(mix * min(1.0, _FULL_SCALE / float(np.abs(mix).max())), dtype=np.float32)
    queries = tuple(_query(scene, number, events) for number in range(len(scene.queries)))
    return RenderedClip(scene.vid, RATE, waveform, queries)


def rendered_background(scene: ScenePlan) -> Signal:
    """Return the background of a scene at its level."""
    noise = sounds.background(planning.stream(scene.key, 2), scene.background, seconds=scene.preset.seconds)
    return np.asarray(noise * np.float32(10 ** (scene.level / 20)), dtype=np.float32)


def rendered_events(scene: ScenePlan) -> list[RenderedEvent]:
    """Return the events of a scene at their signal-to-noise ratios, in the order of the plan.

    The ratio is that of the RMS of an event to the RMS of the background.
    """
    rendered = []
    for number, event in enumerate(scene.events):
        rng = planning.stream(scene.key, 3, number)
        subject = scene.groups[event.group].subject
        signal = sounds.sound(rng, subject.sound, value=subject.value, seconds=event.seconds)
        if subject.far:
            signal = sounds.from_afar(rng, signal)
        gain = np.float32(10 ** ((scene.level + event.snr) / 20) / (dsp.rms(signal) + 1e-9))
        rendered.append(RenderedEvent(dsp.samples(event.start), np.asarray(signal * gain, dtype=np.float32)))
    return rendered


def _query(scene: ScenePlan, number: int, events: Sequence[RenderedEvent]) -> Query:
    """Return a query with the windows of its rendered events, and further keys to slice scores by."""
    planned = scene.queries[number]
    windows = [events[index].window for index in planned.events]
    if planned.kind == "then":
        windows = [(windows[0][0], windows[1][1])]
    elif planned.kind == "while":
        windows = [(max(start for start, _ in windows), min(end for _, end in windows))]
    return Query(
        qid=f"{scene.vid}_{number}",
        query=planned.text,
        vid=scene.vid,
        duration=scene.preset.seconds,
        windows=tuple(sorted(windows)),
        extra={
            "kind": planned.kind,
            "twin": planned.twin,
            "unseen_phrase": planned.unseen,
            "tight": any(end - start <= TIGHT for start, end in windows),
        },
    )


class ProceduralDataset(Dataset):
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
    def recording(self, split: str, index: int) -> RenderedClip:
        return render_clip(planning.plan(self.preset, split, index, seed=self.seed))

    @override
    def fingerprint(self) -> str:
        return content_hash([VERSION, asdict(self.preset), self.seed])
