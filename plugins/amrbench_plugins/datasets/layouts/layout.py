"""From a key to a layout: how long a recording is, when which sound sounds, and what queries ask for.

A layout knows sounds by numbers only; a data set decides what they are, and how a sentence says it. It
depends on (laws, split, number, key) alone, so recordings can be made in any order by any number of workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from amrbench.types import Floats, Window
from amrbench_plugins.datasets.layouts.laws import Counts, Laws
from amrbench_plugins.datasets.layouts.moments import (
    arrange,
    draw_widths,
    least_gap,
    overlap,
    write_down,
)
from amrbench_plugins.datasets.layouts.streams import Key, Rng, even_point, stream

_RECORDINGS, _QUERIES, _SCENE = 901, 902, 903
"""Stages of the random generators."""
_TRIES = 40
"""Random starts of a sound alone before it is left out; each one is shorter."""
_ARRANGEMENTS = 3
"""Of the moments of a query; the one that shares the least time with other queries is taken."""
_LONGEST_TAIL = 25.0
"""Seconds that one sound of a pair sounds before or after the other, at most."""


@dataclass(frozen=True)
class Sound:
    """All occurrences of one sound in a recording.

    Attributes:
        asked: Whether a query asks for it, alone or with another one.
        far: Whether it is far away.
        snr: Its usual level over the background, dB.
    """

    asked: bool
    far: bool
    snr: float


@dataclass(frozen=True)
class Event:
    """One occurrence of a sound.

    Attributes:
        sound: Index of the sound.
        start: In seconds.
        seconds: Length.
        snr: Level over the background, dB.
    """

    sound: int
    start: float
    seconds: float
    snr: float

    @property
    def end(self) -> float:
        """Return the end in seconds."""
        return self.start + self.seconds


@dataclass(frozen=True)
class Request:
    """What a query asks for.

    Attributes:
        sounds: Index of one sound; or of two that sound at the same time.
        moments: When it is true, exactly.
        windows: As people write the moments down.
    """

    sounds: tuple[int, ...]
    moments: tuple[Window, ...]
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class BedLevel:
    """A sound under the whole recording: whether it is speech, and its level over the noise in dB."""

    speech: bool
    level: float


@dataclass(frozen=True)
class Layout:
    """The layout of one recording."""

    seconds: float
    sounds: tuple[Sound, ...]
    events: tuple[Event, ...]
    requests: tuple[Request, ...]
    bed: BedLevel | None


def lay_out(laws: Laws, split: str, number: int, key: Key) -> Layout:
    """Return the layout of one recording.

    Args:
        laws: Of the data set.
        split: One of its splits.
        number: Of the recording in its split; not limited.
        key: Names the split: other keys give other recordings.
    """
    law = laws.splits[split]
    seconds = float(round(law.seconds.at(even_point((*key, _RECORDINGS), number, 2)[0])))
    first = sum(_queries_of(laws, split, earlier, key) for earlier in range(number))
    count = _queries_of(laws, split, number, key)
    builder = _Builder(stream(key, _SCENE, number), laws, law.width, seconds)
    for query in range(first, first + count):
        windows, width, pair = even_point((*key, _QUERIES), query, 3)
        factor = NormalDist().inv_cdf(min(max(width, 1e-4), 1 - 1e-4))
        add = builder.add_pair if pair < laws.pair_probability else builder.add_single
        add(law.windows.at(windows), factor)
    builder.add_others(law.windows)
    return builder.layout()


def _queries_of(laws: Laws, split: str, number: int, key: Key) -> int:
    return laws.splits[split].queries.at(even_point((*key, _RECORDINGS), number, 2)[1])


class _Builder:
    """Adds sounds, their events and requests to one recording."""

    def __init__(self, rng: Rng, laws: Laws, width: float, seconds: float) -> None:
        self._rng, self._laws, self._width, self._seconds = rng, laws, width, seconds
        self._sounds: list[Sound] = []
        self._events: list[Event] = []
        self._requests: list[Request] = []

    def add_single(self, count: int, factor: float) -> None:
        """Add a sound and the query about it."""
        sound = self._sound(asked=True)
        moments = self._moments(count, factor)
        self._add_events(sound, moments)
        self._request((sound,), moments)

    def add_pair(self, count: int, factor: float) -> None:
        """Add two sounds, a query about their common moments, and moments of each one without the other."""
        moments = self._moments(count, factor)
        pair = self._sound(asked=True), self._sound(asked=True)
        both = list[Window]()
        for sound, times in zip(pair, self._with_tails(moments), strict=True):
            self._add_events(sound, times)
            both += times
        for sound in pair:
            for _ in range(int(self._rng.integers(1, 3))):
                # Away from both sounds: a tail of one next to the other alone would be a moment of both.
                if alone := self._alone(both):
                    self._add_events(sound, [alone])
                    both.append(alone)
        self._request(pair, moments)

    def add_others(self, counts: Counts) -> None:
        """Add sounds that no query asks for."""
        low, high = self._laws.others
        for _ in range(int(self._rng.integers(low, high + 1))):
            count, factor = counts.at(self._rng.random()), self._rng.standard_normal()
            self._add_events(self._sound(asked=False), self._moments(count, factor))

    def layout(self) -> Layout:
        """Return the recording."""
        law = self._laws.bed
        speech, level = bool(self._rng.random() < law.speech_probability), law.level.draw(self._rng)
        bed = BedLevel(speech, level) if self._rng.random() < law.probability else None
        return Layout(self._seconds, tuple(self._sounds), tuple(self._events), tuple(self._requests), bed)

    def _sound(self, *, asked: bool) -> int:
        levels = self._laws.levels
        far = bool(self._rng.random() < levels.far_probability)
        self._sounds.append(Sound(asked, far, (levels.far if far else levels.near).draw(self._rng)))
        return len(self._sounds) - 1

    def _moments(self, count: int, factor: float) -> list[Window]:
        """Return moments that share little with those of the queries before."""
        widths = self._widths(count, factor)
        choices = [
            arrange(self._rng, widths, self._laws.gap, seconds=self._seconds) for _ in range(_ARRANGEMENTS)
        ]
        earlier = [request.moments for request in self._requests]
        return min(choices, key=lambda moments: sum(overlap(moments, other) for other in earlier))

    def _widths(self, count: int, factor: float) -> Floats:
        laws, seconds = self._laws, self._seconds
        return draw_widths(self._rng, laws.widths, self._width, factor=factor, count=count, seconds=seconds)

    def _add_events(self, sound: int, moments: Sequence[Window]) -> None:
        for start, end in moments:
            level = self._sounds[sound].snr + float(self._rng.normal(0, self._laws.levels.varies))
            self._events.append(Event(sound, start, end - start, level))

    def _request(self, sounds: tuple[int, ...], moments: Sequence[Window]) -> None:
        windows = write_down(self._rng, moments, self._laws.annotators, seconds=self._seconds)
        self._requests.append(Request(sounds, tuple(moments), windows))

    def _with_tails(self, moments: Sequence[Window]) -> tuple[list[Window], list[Window]]:
        """Return the times of two sounds that are both there at these moments and at no others.

        At either end of a moment, one of the two goes on for a while.
        """
        before = [0.0, *(end for _, end in moments)]
        after = [*(start for start, _ in moments), self._seconds]
        pair: tuple[list[Window], list[Window]] = ([], [])
        for index, (start, end) in enumerate(moments):
            times = [[start, end], [start, end]]
            room = start - before[index], after[index + 1] - end
            times[int(self._rng.integers(2))][0] -= self._tail(end - start, room[0])
            times[int(self._rng.integers(2))][1] += self._tail(end - start, room[1])
            for sound, (first, last) in zip(pair, times, strict=True):
                sound.append((first, last))
        return pair

    def _tail(self, width: float, room: float) -> float:
        drawn = 0.5 + float(self._rng.exponential(1 + 0.7 * width))
        # Two tails in one gap leave a part of it free.
        return min(drawn, _LONGEST_TAIL, 0.4 * room)

    def _alone(self, times: Sequence[Window]) -> Window | None:
        """Return a moment apart from all these times, or None if there is no room."""
        width = float(self._widths(1, self._rng.standard_normal())[0])
        gap = least_gap(1, self._seconds)
        for _ in range(_TRIES):
            start = float(self._rng.uniform(0, self._seconds - width))
            end = start + width
            if all(end + gap < first or last + gap < start for first, last in times):
                return start, end
            width = max(0.9 * width, 1.0)
        return None
