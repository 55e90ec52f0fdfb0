"""From a seed to a plan: which sounds a clip holds, when they sound, and what queries ask for.

A plan depends on (seed, preset, split, index) alone, so clips can be made in any order by any number of
workers. It has the queries with their windows: audio need not be made for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from amrbench.types import Query
from amrbench_plugins.datasets.layouts.layout import Layout, Request, lay_out
from amrbench_plugins.datasets.layouts.streams import Key, Rng, stream
from amrbench_plugins.datasets.procedural import captions
from amrbench_plugins.datasets.procedural.captions import Subject, Wording
from amrbench_plugins.datasets.procedural.presets import SPLIT_CODES, Preset
from amrbench_plugins.datasets.procedural.sounds import (
    BACKGROUNDS,
    CLASSES,
    HELD_OUT,
    TRAINING,
    Range,
)

TIGHT = 2.0
"""Longest tight window in seconds; an error of one second at either end costs all there."""


@dataclass(frozen=True)
class PlannedSound:
    """What a sound of a layout is.

    Attributes:
        subject: Class, value and distance.
        section: Of the ranges of its parameters.
        twin: Whether the clip also holds this class with the other value.
    """

    subject: Subject
    section: Range
    twin: bool = False


@dataclass(frozen=True)
class ScenePlan:
    """Everything that determines the audio and the queries of a clip.

    Attributes:
        vid: Its id.
        preset: The kind of clip.
        key: Seed of its random generators.
        layout: When its sounds sound, and how loudly.
        sounds: What each sound of the layout is.
        background: Kind of its noise.
        level: RMS of noise and bed together, in dB relative to full scale.
        bed: The class under the whole clip, if the layout has one.
        queries: With their windows.
    """

    vid: str
    preset: Preset
    key: Key
    layout: Layout
    sounds: tuple[PlannedSound, ...]
    background: str
    level: float
    bed: PlannedSound | None
    queries: tuple[Query, ...]


def plan(preset: Preset, split: str, index: int, *, seed: int) -> ScenePlan:
    """Return the plan of one clip.

    Args:
        preset: The kind of clip.
        split: train, val or test.
        index: Number of the clip in its split; not limited by the split's size.
        seed: Seed of the whole data set.
    """
    of_split = (seed, preset.code, SPLIT_CODES[split])
    key = (*of_split, index)
    layout = lay_out(preset.laws, split, index, of_split)
    rng, unseen_allowed = stream(key, 0), split == "test"
    names = _draw_classes(rng, preset, layout)
    bed = PlannedSound(Subject(names.pop(), int(rng.integers(2)), far=False), TRAINING)
    sounds = _draw_sounds(rng, preset, layout, names, unseen_allowed=unseen_allowed)
    scene = ScenePlan(
        vid=f"{preset.name}_{split}_{index:04d}",
        preset=preset,
        key=key,
        layout=layout,
        sounds=tuple(sounds),
        background=BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))],
        level=float(rng.uniform(-38, -28)),
        bed=bed if layout.bed else None,
        queries=(),
    )
    queries = _draw_queries(stream(key, 1), scene, unseen_allowed=unseen_allowed)
    return replace(scene, queries=tuple(queries))


def _draw_classes(rng: Rng, preset: Preset, layout: Layout) -> list[str]:
    """Return a class for each sound of a layout and, at the end, for its bed; all differ."""
    weights = np.array([preset.voice_weight if name == "voice" else 1.0 for name in CLASSES])
    order = np.argsort(rng.exponential(1 / weights))  # a draw without replacement, by weights
    names = [CLASSES[index] for index in order]
    if layout.bed and layout.bed.speech:
        names.remove("voice")
        return [*names[: len(layout.sounds)], "voice"]
    return names[: len(layout.sounds) + 1]


def _draw_sounds(
    rng: Rng, preset: Preset, layout: Layout, names: Sequence[str], *, unseen_allowed: bool
) -> list[PlannedSound]:
    sounds = []
    for name, sound in zip(names, layout.sounds, strict=True):
        unseen = bool(rng.random() < preset.unseen_take_probability) and unseen_allowed
        subject = Subject(name, int(rng.integers(2)), sound.far)
        sounds.append(PlannedSound(subject, HELD_OUT if unseen else TRAINING))
    if rng.random() < preset.twin_probability:
        return _with_twins(rng, layout, sounds)
    return sounds


def _with_twins(rng: Rng, layout: Layout, sounds: list[PlannedSound]) -> list[PlannedSound]:
    """Return the sounds with the first one, and another of no query about it, as values of one class."""
    asked_together = {index for request in layout.requests if 0 in request.sounds for index in request.sounds}
    free = [index for index in range(1, len(sounds)) if index not in asked_together]
    if not free:
        return sounds
    other, twin = free[int(rng.integers(len(free)))], replace(sounds[0], twin=True)
    subject = replace(twin.subject, value=1 - twin.subject.value, far=sounds[other].subject.far)
    sounds[0], sounds[other] = twin, replace(sounds[other], subject=subject, twin=True)
    return sounds


def _phrase(rng: Rng, preset: Preset, sound: PlannedSound, *, unseen: bool) -> str:
    named = sound.twin or rng.random() < preset.value_probability
    wording = Wording.UNSEEN if unseen else Wording.VALUE if named else Wording.BARE
    distance = rng.random() < preset.distance_probability
    return captions.phrase(rng, sound.subject, wording=wording, distance=distance)


def _draw_queries(rng: Rng, scene: ScenePlan, *, unseen_allowed: bool) -> Iterator[Query]:
    for number, request in enumerate(scene.layout.requests):
        unseen = bool(rng.random() < scene.preset.unseen_probability) and unseen_allowed
        yield _query(rng, scene, number, request, unseen=unseen)


def _query(rng: Rng, scene: ScenePlan, number: int, request: Request, *, unseen: bool) -> Query:
    """Return a query with further keys to slice scores by."""
    sounds = [scene.sounds[index] for index in request.sounds]
    phrases = [_phrase(rng, scene.preset, sound, unseen=unseen) for sound in sounds]
    if len(phrases) > 1:
        phrases = [captions.meanwhile(rng, *phrases)]
    return Query(
        qid=f"{scene.vid}_{number}",
        query=captions.finish(rng, phrases[0]),
        vid=scene.vid,
        duration=scene.layout.seconds,
        windows=request.windows,
        extra={
            "kind": "while" if len(sounds) > 1 else "single",
            "twin": any(sound.twin for sound in sounds),
            "unseen_phrase": unseen,
            "unseen_take": any(sound.section == HELD_OUT for sound in sounds),
            "tight": any(end - start <= TIGHT for start, end in request.windows),
        },
    )
