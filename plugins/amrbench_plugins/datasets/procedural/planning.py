"""From a seed to a plan: which sounds a clip holds, when they sound, and what is asked about them.

A plan is found by (seed, preset, split, index) alone, so clips may be made in any order by any number of
workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from amrbench_plugins.datasets.procedural import captions
from amrbench_plugins.datasets.procedural.captions import Subject, Wording
from amrbench_plugins.datasets.procedural.dsp import Rng
from amrbench_plugins.datasets.procedural.presets import SPLIT_CODES, Preset, Span
from amrbench_plugins.datasets.procedural.sounds import BACKGROUNDS, CLASSES

_TRIES = 80
_APART = 0.6
"""Seconds between two events of one class."""
_PARTED = 2.0
"""Seconds by which the two sounds of a composite stay apart elsewhere, so that it has one place only."""
_EDGE = 0.2


@dataclass(frozen=True)
class Group:
    """All occurrences of one sound in a clip."""

    subject: Subject
    asked: bool
    twin: bool = False
    """The clip also holds this class with the other value."""


@dataclass(frozen=True)
class Event:
    """One occurrence: which group, when in seconds, how far above the background in dB."""

    group: int
    start: float
    seconds: float
    snr: float

    @property
    def end(self) -> float:
        """Nominal end in seconds."""
        return self.start + self.seconds


@dataclass(frozen=True)
class Ask:
    """One query; `kind` is single, then or while; a composite names its two events in order."""

    text: str
    kind: str
    twin: bool
    unseen: bool
    events: tuple[int, ...]


@dataclass(frozen=True)
class ScenePlan:
    """Everything that decides how a clip sounds and what its rows say."""

    vid: str
    preset: Preset
    key: tuple[int, ...]
    background: str
    level: float
    """RMS of the background in dB relative to full scale."""
    groups: tuple[Group, ...]
    events: tuple[Event, ...]
    asks: tuple[Ask, ...]


@dataclass(frozen=True)
class _Block:
    """Events that are placed together; their starts count from the start of the block."""

    events: tuple[Event, ...]
    kind: str
    free: bool
    """May lie over other events."""

    @property
    def seconds(self) -> float:
        return max(event.end for event in self.events)


def stream(key: tuple[int, ...], *stage: int) -> Rng:
    """Return the random generator of one stage of one clip."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence((*key, *stage))))


def draw(rng: Rng, span: Span) -> float:
    """Return a number from a range."""
    return float(rng.uniform(span.low, span.high))


def _whole(rng: Rng, ends: tuple[int, int]) -> int:
    return int(rng.integers(ends[0], ends[1] + 1))


def _other(subject: Subject) -> Subject:
    return replace(subject, value=1 - subject.value)


def _twins(groups: Sequence[Group], events: Sequence[Event]) -> tuple[Group, ...]:
    heard = {groups[event.group].subject for event in events}
    return tuple(replace(group, twin=_other(group.subject) in heard) for group in groups)


def _groups(rng: Rng, preset: Preset) -> tuple[Group, ...]:
    asked, others = _whole(rng, preset.groups), _whole(rng, preset.distractors)
    names = rng.permutation(len(CLASSES))[: asked + others]
    groups = [
        Group(
            Subject(CLASSES[name], int(rng.integers(2)), bool(rng.random() < preset.far_share)),
            asked=place < asked,
        )
        for place, name in enumerate(names)
    ]
    if rng.random() < preset.twins:
        groups.insert(1, Group(_other(groups[0].subject), asked=True))
    return tuple(groups)


def _event(rng: Rng, preset: Preset, groups: Sequence[Group], group: int) -> Event:
    snr = draw(rng, preset.far if groups[group].subject.far else preset.near)
    return Event(group, 0.0, round(draw(rng, preset.length), 2), snr)


def _composite(rng: Rng, first: Event, second: Event) -> _Block:
    if rng.random() < 0.5:
        return _Block(
            (first, replace(second, start=first.seconds + rng.uniform(0.1, 0.8))), "then", free=False
        )
    inside = min(first.seconds, second.seconds) * rng.uniform(0.75, 1.0)
    return _Block((first, replace(second, start=first.seconds - inside)), "while", free=False)


def _blocks(rng: Rng, preset: Preset, groups: Sequence[Group]) -> list[_Block]:
    blocks = []
    if rng.random() < preset.composites:
        asked = [place for place, group in enumerate(groups) if group.asked]
        first, second = asked[-2:]
        blocks.append(_composite(rng, *(_event(rng, preset, groups, g) for g in (first, second))))
    for group in range(len(groups)):
        times = 1 + int(rng.choice(len(preset.repeats), p=preset.repeats))
        for _ in range(times):
            event = _event(rng, preset, groups, group)
            blocks.append(_Block((event,), "single", free=bool(rng.random() < preset.overlap)))
    return blocks


def _collide(a: Event, b: Event, gap: float) -> bool:
    return a.start < b.end + gap and b.start < a.end + gap


def _gap(block: _Block, event: Event, other: Event, *, groups: Sequence[Group], pair: set[int]) -> float:
    """Return the seconds that must lie between an event of a block and one that is placed."""
    if groups[event.group].subject.sound == groups[other.group].subject.sound:
        return _APART
    if {event.group, other.group} == pair:
        return _PARTED
    return -math.inf if block.free else 0.1


def _fits(block: _Block, placed: Sequence[_Block], groups: Sequence[Group]) -> bool:
    pair = {event.group for other in placed if other.kind != "single" for event in other.events}
    others = [event for other in placed for event in other.events]
    return not any(
        _collide(event, other, _gap(block, event, other, groups=groups, pair=pair))
        for event in block.events
        for other in others
    )


def _moved(block: _Block, start: float) -> _Block:
    events = tuple(replace(event, start=round(event.start + start, 3)) for event in block.events)
    return replace(block, events=events)


def _place(rng: Rng, preset: Preset, blocks: Sequence[_Block], groups: Sequence[Group]) -> list[_Block]:
    """Place composite blocks first, then the rest; a block that finds no room is left out."""
    done: list[_Block] = []
    for block in blocks:
        for _ in range(_TRIES):
            start = float(rng.uniform(_EDGE, preset.seconds - block.seconds - _EDGE))
            moved = _moved(block, start)
            if _fits(moved, done, groups):
                done.append(moved)
                break
    return done


def _text(rng: Rng, preset: Preset, group: Group, *, unseen: bool = False) -> str:
    named = group.twin or rng.random() < preset.value_share
    wording = Wording.UNSEEN if unseen else Wording.VALUE if named else Wording.BARE
    return captions.phrase(rng, group.subject, wording=wording, distance=rng.random() < preset.distance_share)


def _composites(
    rng: Rng, preset: Preset, *, groups: Sequence[Group], blocks: Sequence[_Block]
) -> Iterator[Ask]:
    count = 0
    for block in blocks:
        numbers = tuple(range(count, count + len(block.events)))
        count += len(numbers)
        if block.kind != "single":
            join = captions.then if block.kind == "then" else captions.meanwhile
            pair = [groups[event.group] for event in block.events]
            text = captions.finish(rng, join(rng, *(_text(rng, preset, group) for group in pair)))
            yield Ask(text, block.kind, twin=any(group.twin for group in pair), unseen=False, events=numbers)


def _singles(
    rng: Rng, preset: Preset, *, groups: Sequence[Group], events: Sequence[Event], share: float
) -> Iterator[Ask]:
    for place, group in enumerate(groups):
        numbers = tuple(number for number, event in enumerate(events) if event.group == place)
        if group.asked and numbers:
            unseen = bool(rng.random() < share)
            text = captions.finish(rng, _text(rng, preset, group, unseen=unseen))
            yield Ask(text, "single", twin=group.twin, unseen=unseen, events=numbers)


def plan(preset: Preset, split: str, index: int, *, seed: int) -> ScenePlan:
    """Return the plan of one clip.

    Args:
        preset: the kind of clip.
        split: train, val or test.
        index: number of the clip in its split; not limited by the split's size.
        seed: seed of the whole data set.
    """
    key = (seed, preset.code, SPLIT_CODES[split], index)
    rng = stream(key, 0)
    groups = _groups(rng, preset)
    blocks = _place(rng, preset, _blocks(rng, preset, groups), groups)
    events = tuple(event for block in blocks for event in block.events)
    groups = _twins(groups, events)
    words, share = stream(key, 1), preset.unseen_share if split == "test" else 0.0
    composites = tuple(_composites(words, preset, groups=groups, blocks=blocks))
    singles = tuple(_singles(words, preset, groups=groups, events=events, share=share))
    return ScenePlan(
        vid=f"{preset.name}_{split}_{index:04d}",
        preset=preset,
        key=key,
        background=BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))],
        level=float(rng.uniform(-38, -28)),
        groups=groups,
        events=events,
        asks=composites + singles,
    )
