"""Clips of the procedural world: audio, and annotation rows measured from that audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amrbench.errors import DataError, did_you_mean
from amrbench_plugins.datasets.procedural import dsp, planning, sounds
from amrbench_plugins.datasets.procedural.dsp import RATE, Signal
from amrbench_plugins.datasets.procedural.planning import Ask, Event, ScenePlan
from amrbench_plugins.datasets.procedural.presets import PRESETS, Preset

_AUDIBLE = 10 ** (-40 / 20)
"""Share of an event's peak from which it counts as heard."""

TIGHT = 4.0
"""Seconds; in a window this short an error of one second at either end costs much."""

Row = dict[str, object]
Window = list[float]


@dataclass(frozen=True)
class Placed:
    """One rendered event: its first sample in the clip and its signal before mixing."""

    first: int
    signal: Signal

    @property
    def window(self) -> Window:
        """Return start and end in seconds of what is above -40 dB of the event's peak, to 0.1 s."""
        level = np.abs(self.signal)
        heard = np.flatnonzero(level > _AUDIBLE * level.max())
        return [round((self.first + int(at)) / RATE, 1) for at in (heard[0], heard[-1] + 1)]


@dataclass(frozen=True)
class RenderedClip:
    """A clip: its id, float32 audio (samples,), samples a second, and its annotation rows."""

    vid: str
    audio: Signal
    rate: int
    rows: list[Row]


def _preset(name: str) -> Preset:
    if name not in PRESETS:
        raise DataError(
            f"the procedural data set has no preset {name!r}.{did_you_mean(name, PRESETS)} "
            f"It has: {', '.join(PRESETS)}."
        )
    return PRESETS[name]


def plan(preset: str, split: str, index: int, seed: int) -> ScenePlan:
    """Return what clip `index` of a split will hold.

    Raises:
        DataError: there is no such preset or split, or the index is outside the split.
    """
    chosen = _preset(preset)
    if split not in chosen.splits:
        raise DataError(
            f"preset {preset!r} has no split {split!r}.{did_you_mean(split, chosen.splits)} "
            f"It has: {', '.join(chosen.splits)}."
        )
    if not 0 <= index < chosen.splits[split]:
        raise DataError(
            f"split {split!r} of preset {preset!r} has clips 0 to {chosen.splits[split] - 1}; "
            f"{index} was asked for."
        )
    return planning.plan(chosen, split, index, seed=seed)


def _background(scene: ScenePlan) -> Signal:
    noise = sounds.background(planning.stream(scene.key, 2), scene.background, seconds=scene.preset.seconds)
    return np.asarray(noise * np.float32(10 ** (scene.level / 20)), dtype=np.float32)


def _placed(scene: ScenePlan, number: int, event: Event) -> Placed:
    """Render one event at its signal-to-noise ratio (RMS of the event over RMS of the background)."""
    rng = planning.stream(scene.key, 3, number)
    subject = scene.groups[event.group].subject
    signal = sounds.sound(rng, subject.sound, value=subject.value, seconds=event.seconds)
    if subject.far:
        signal = sounds.from_afar(rng, signal)
    gain = 10 ** ((scene.level + event.snr) / 20) / (dsp.rms(signal) + 1e-9)
    return Placed(dsp.samples(event.start), np.asarray(signal * np.float32(gain), dtype=np.float32))


def placed(scene: ScenePlan) -> list[Placed]:
    """Render the events of a scene one by one, in the order of the plan, without the background."""
    return [_placed(scene, number, event) for number, event in enumerate(scene.events)]


def _mix(scene: ScenePlan, events: Sequence[Placed]) -> Signal:
    mix = _background(scene)
    for event in events:
        room = mix[event.first : event.first + len(event.signal)]
        room += event.signal[: len(room)]
    return np.asarray(mix * min(1.0, 0.98 / float(np.abs(mix).max())), dtype=np.float32)


def _windows(ask: Ask, events: Sequence[Placed]) -> list[Window]:
    windows = [events[number].window for number in ask.events]
    if ask.kind == "single":
        return sorted(windows)
    first, second = windows
    if ask.kind == "then":
        return [[first[0], second[1]]]
    return [[max(first[0], second[0]), min(first[1], second[1])]]


def rows(scene: ScenePlan, events: Sequence[Placed]) -> list[Row]:
    """Return one annotation row for each query, as in published files, with more keys to slice by.

    Args:
        scene: the plan.
        events: its rendered events, from which the windows are measured.
    """
    return [_row(scene, events, number) for number in range(len(scene.asks))]


def _row(scene: ScenePlan, events: Sequence[Placed], number: int) -> Row:
    ask = scene.asks[number]
    windows = _windows(ask, events)
    return {
        "qid": f"{scene.vid}_{number}",
        "query": ask.text,
        "duration": scene.preset.seconds,
        "vid": scene.vid,
        "relevant_windows": windows,
        "kind": ask.kind,
        "twin": ask.twin,
        "unseen_phrase": ask.unseen,
        "tight": any(end - start <= TIGHT for start, end in windows),
    }


def clip(preset: str, split: str, index: int, seed: int) -> RenderedClip:
    """Return clip `index` of a split: audio and rows, the same for the same arguments everywhere.

    Raises:
        DataError: there is no such preset or split, or the index is outside the split.
    """
    scene = plan(preset, split, index, seed)
    events = placed(scene)
    return RenderedClip(scene.vid, _mix(scene, events), RATE, rows(scene, events))
