"""From a seed to a plan: which sounds a clip holds, when they sound, and what queries ask for.

A plan depends on (seed, preset, split, index) alone, so clips can be made in any order by any number of
workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from amrbench_plugins.datasets.procedural import captions
from amrbench_plugins.datasets.procedural.captions import Subject, Wording
from amrbench_plugins.datasets.procedural.dsp import Rng
from amrbench_plugins.datasets.procedural.presets import SPLIT_CODES, Bounds, Preset
from amrbench_plugins.datasets.procedural.sounds import BACKGROUNDS, CLASSES

_TRIES = 80
"""Random starts for a block before it is left out."""
_CLASS_GAP = 0.6
"""Seconds between two events of one class."""
_COMPOSITE_GAP = 2.0
"""Seconds between other events of a composite's two sounds, so that its query has one window only."""
_OTHER_GAP = 0.1
"""Seconds between all other events that must not overlap."""
_EDGE = 0.2
"""Seconds at both ends of a clip without events."""


@dataclass(frozen=True)
class Group:
    """All occurrences of one sound in a clip."""

    subject: Subject
    asked: bool
    """Whether queries ask for it."""
    twin: bool = False
    """Whether the clip also holds this class with the other value."""


@dataclass(frozen=True)
class Event:
    """One occurrence of a sound.

    Attributes:
        group: Index of its group.
        start: In seconds.
        seconds: Nominal length.
        snr: Level over the background, dB.
    """

    group: int
    start: float
    seconds: float
    snr: float

    @property
    def end(self) -> float:
        """Return the nominal end in seconds."""
        return self.start + self.seconds


@dataclass(frozen=True)
class PlannedQuery:
    """A query before its windows are measured.

    Attributes:
        text: The sentence.
        kind: single, then or while.
        twin: Whether the clip also holds one of its classes with the other value.
        unseen: Whether it has the held-out wording.
        events: Indices of its events; the two of a composite in the order of the sentence.
    """

    text: str
    kind: str
    twin: bool
    unseen: bool
    events: tuple[int, ...]


@dataclass(frozen=True)
class ScenePlan:
    """Everything that determines the audio and the queries of a clip."""

    vid: str
    preset: Preset
    key: tuple[int, ...]
    """Seed of its random generators."""
    background: str
    level: float
    """RMS of the background in dB relative to full scale."""
    groups: tuple[Group, ...]
    events: tuple[Event, ...]
    queries: tuple[PlannedQuery, ...]


@dataclass(frozen=True)
class _Block:
    """Events that keep their distance from each other; starts count from the start of the block."""

    events: tuple[Event, ...]
    kind: str
    free: bool
    """May overlap other events."""

    @property
    def seconds(self) -> float:
        return max(event.end for event in self.events)


def stream(key: tuple[int, ...], *stage: int) -> Rng:
    """Return the random generator of one stage of one clip."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence((*key, *stage))))


def plan(preset: Preset, split: str, index: int, *, seed: int) -> ScenePlan:
    """Return the plan of one clip.

    Args:
        preset: The kind of clip.
        split: train, val or test.
        index: Number of the clip in its split; not limited by the split's size.
        seed: Seed of the whole data set.
    """
    key = (seed, preset.code, SPLIT_CODES[split], index)
    rng, text_rng = stream(key, 0), stream(key, 1)
    groups = _draw_groups(rng, preset)
    blocks = _arrange(rng, preset, _draw_blocks(rng, preset, groups), groups)
    events = tuple(event for block in blocks for event in block.events)
    present = {groups[event.group].subject for event in events}
    groups = [replace(group, twin=_other_value(group.subject) in present) for group in groups]
    return ScenePlan(
        vid=f"{preset.name}_{split}_{index:04d}",
        preset=preset,
        key=key,
        background=BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))],
        level=float(rng.uniform(-38, -28)),
        groups=tuple(groups),
        events=events,
        queries=tuple(_draw_queries(text_rng, preset, groups, blocks, unseen_allowed=split == "test")),
    )


def _other_value(subject: Subject) -> Subject:
    return replace(subject, value=1 - subject.value)


def _uniform(rng: Rng, bounds: Bounds) -> float:
    return float(rng.uniform(bounds.low, bounds.high))


def _draw_groups(rng: Rng, preset: Preset) -> list[Group]:
    asked, others = (int(rng.integers(low, high + 1)) for low, high in (preset.groups, preset.distractors))
    names = rng.permutation(len(CLASSES))[: asked + others]
    groups = [
        Group(
            Subject(CLASSES[name], int(rng.integers(2)), bool(rng.random() < preset.far_probability)),
            asked=index < asked,
        )
        for index, name in enumerate(names)
    ]
    if rng.random() < preset.twin_probability:
        groups.insert(1, Group(_other_value(groups[0].subject), asked=True))
    return groups


def _event(rng: Rng, preset: Preset, groups: Sequence[Group], group: int) -> Event:
    snr = _uniform(rng, preset.far if groups[group].subject.far else preset.near)
    return Event(group, 0.0, round(_uniform(rng, preset.length), 2), snr)


def _draw_blocks(rng: Rng, preset: Preset, groups: Sequence[Group]) -> list[_Block]:
    """Draw at most one composite, which comes first, and then the occurrences of each sound."""
    blocks = []
    if rng.random() < preset.composite_probability:
        asked = [index for index, group in enumerate(groups) if group.asked]
        first, second = (_event(rng, preset, groups, index) for index in asked[-2:])
        if rng.random() < 0.5:
            kind, start = "then", first.seconds + rng.uniform(0.1, 0.8)
        else:
            overlap = min(first.seconds, second.seconds) * rng.uniform(0.75, 1.0)
            kind, start = "while", first.seconds - overlap
        blocks.append(_Block((first, replace(second, start=start)), kind, free=False))
    for index in range(len(groups)):
        occurrences = 1 + int(rng.choice(len(preset.repeats), p=preset.repeats))
        for _ in range(occurrences):
            event = _event(rng, preset, groups, index)
            blocks.append(_Block((event,), "single", free=bool(rng.random() < preset.overlap_probability)))
    return blocks


def _arrange(rng: Rng, preset: Preset, blocks: Sequence[_Block], groups: Sequence[Group]) -> list[_Block]:
    """Give each block a start, in their order; a block that finds no room is left out."""
    arranged: list[_Block] = []
    for block in blocks:
        for _ in range(_TRIES):
            start = float(rng.uniform(_EDGE, preset.seconds - block.seconds - _EDGE))
            events = tuple(replace(event, start=round(event.start + start, 3)) for event in block.events)
            shifted = replace(block, events=events)
            if _fits(shifted, arranged, groups):
                arranged.append(shifted)
                break
    return arranged


def _fits(block: _Block, arranged: Sequence[_Block], groups: Sequence[Group]) -> bool:
    """Whether the events of a block keep the necessary gap to all events that have a start."""
    others = [event for other in arranged for event in other.events]
    pair = {event.group for other in arranged[:1] for event in other.events}  # of the composite
    for event, other in product(block.events, others):
        if groups[event.group].subject.sound == groups[other.group].subject.sound:
            gap = _CLASS_GAP
        elif {event.group, other.group} == pair:
            gap = _COMPOSITE_GAP
        else:
            gap = -math.inf if block.free else _OTHER_GAP
        if event.start < other.end + gap and other.start < event.end + gap:
            return False
    return True


def _phrase(rng: Rng, preset: Preset, group: Group, *, unseen: bool = False) -> str:
    named = group.twin or rng.random() < preset.value_probability
    wording = Wording.UNSEEN if unseen else Wording.VALUE if named else Wording.BARE
    distance = rng.random() < preset.distance_probability
    return captions.phrase(rng, group.subject, wording=wording, distance=distance)


def _draw_queries(
    rng: Rng, preset: Preset, groups: Sequence[Group], blocks: Sequence[_Block], *, unseen_allowed: bool
) -> Iterator[PlannedQuery]:
    """Yield the query of the composite, which is the first block, and of each sound that queries ask for."""
    events = [event for block in blocks for event in block.events]
    if blocks[0].kind != "single":
        join = captions.then if blocks[0].kind == "then" else captions.meanwhile
        pair = [groups[event.group] for event in blocks[0].events]
        first, second = (_phrase(rng, preset, group) for group in pair)
        text = captions.finish(rng, join(rng, first, second))
        twin = any(group.twin for group in pair)
        yield PlannedQuery(text, blocks[0].kind, twin=twin, unseen=False, events=(0, 1))
    for index, group in enumerate(groups):
        own = tuple(number for number, event in enumerate(events) if event.group == index)
        if group.asked and own:
            unseen = bool(rng.random() < preset.unseen_probability) and unseen_allowed
            text = captions.finish(rng, _phrase(rng, preset, group, unseen=unseen))
            yield PlannedQuery(text, "single", twin=group.twin, unseen=unseen, events=own)
