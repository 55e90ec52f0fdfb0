"""Clips of the procedural world: audio, and queries with windows that are measured in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amrbench.errors import DataError, did_you_mean
from amrbench.slots.data import refuse_unknown_split
from amrbench.types import Query, Window
from amrbench_plugins.datasets.procedural import dsp, planning, sounds
from amrbench_plugins.datasets.procedural.dsp import RATE, Signal
from amrbench_plugins.datasets.procedural.planning import Event, PlannedQuery, ScenePlan
from amrbench_plugins.datasets.procedural.presets import PRESETS

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


def plan(preset: str, split: str, index: int, seed: int) -> ScenePlan:
    """Return the plan of clip `index` of a split.

    Raises:
        DataError: There is no such preset or split, or the index is outside the split.
    """
    if preset not in PRESETS:
        raise DataError(
            f"the procedural data set has no preset {preset!r}.{did_you_mean(preset, PRESETS)} "
            f"It has: {', '.join(PRESETS)}."
        )
    splits = PRESETS[preset].splits
    refuse_unknown_split(f"procedural {preset}", split, splits)
    if not 0 <= index < splits[split]:
        raise DataError(
            f"split {split!r} of preset {preset!r} has clips 0 to {splits[split] - 1}; {index} was asked for."
        )
    return planning.plan(PRESETS[preset], split, index, seed=seed)


def clip(preset: str, split: str, index: int, seed: int) -> RenderedClip:
    """Return clip `index` of a split, the same for the same arguments everywhere.

    Raises:
        DataError: There is no such preset or split, or the index is outside the split.
    """
    scene = plan(preset, split, index, seed)
    events = rendered_events(scene)
    queries = tuple(_query(scene, events, number) for number in range(len(scene.queries)))
    return RenderedClip(scene.vid, RATE, _mix(scene, events), queries)


def rendered_events(scene: ScenePlan) -> list[RenderedEvent]:
    """Render the events of a scene one by one, in the order of the plan, without the background."""
    return [_render(scene, number, event) for number, event in enumerate(scene.events)]


def _render(scene: ScenePlan, number: int, event: Event) -> RenderedEvent:
    """Render one event at its signal-to-noise ratio (RMS of the event over RMS of the background)."""
    rng = planning.stream(scene.key, 3, number)
    subject = scene.groups[event.group].subject
    signal = sounds.sound(rng, subject.sound, value=subject.value, seconds=event.seconds)
    if subject.far:
        signal = sounds.from_afar(rng, signal)
    gain = 10 ** ((scene.level + event.snr) / 20) / (dsp.rms(signal) + 1e-9)
    return RenderedEvent(dsp.samples(event.start), np.asarray(signal * np.float32(gain), dtype=np.float32))


def _background(scene: ScenePlan) -> Signal:
    noise = sounds.background(planning.stream(scene.key, 2), scene.background, seconds=scene.preset.seconds)
    return np.asarray(noise * np.float32(10 ** (scene.level / 20)), dtype=np.float32)


def _mix(scene: ScenePlan, events: Sequence[RenderedEvent]) -> Signal:
    mix = _background(scene)
    for event in events:
        segment = mix[event.first : event.first + len(event.signal)]
        segment += event.signal[: len(segment)]  # a view: this changes the mix
    return np.asarray(mix * min(1.0, _FULL_SCALE / float(np.abs(mix).max())), dtype=np.float32)


def _windows(planned: PlannedQuery, events: Sequence[RenderedEvent]) -> tuple[Window, ...]:
    windows = [events[number].window for number in planned.events]
    if planned.kind == "single":
        return tuple(sorted(windows))
    first, second = windows
    if planned.kind == "then":
        return ((first[0], second[1]),)
    return ((max(first[0], second[0]), min(first[1], second[1])),)


def _query(scene: ScenePlan, events: Sequence[RenderedEvent], number: int) -> Query:
    """Return a query with the windows of its rendered events, and further keys to slice scores by."""
    planned = scene.queries[number]
    windows = _windows(planned, events)
    return Query(
        qid=f"{scene.vid}_{number}",
        query=planned.text,
        vid=scene.vid,
        duration=scene.preset.seconds,
        windows=windows,
        extra={
            "kind": planned.kind,
            "twin": planned.twin,
            "unseen_phrase": planned.unseen,
            "tight": any(end - start <= TIGHT for start, end in windows),
        },
    )
