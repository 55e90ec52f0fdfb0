"""One-minute clips in the manner of Clotho-Moment (Munakata et al. 2025), from Clotho and Walking Tours.

What the paper says, and what the released annotations show: each second of a tour begins a window of 60 s,
filled on its own with Clotho recordings after gaps whose lengths are exponential with a mean of 30 s; windows
that stay empty are left out; widths are whole seconds, onsets lie on a grid of 0.1 s, and foregrounds are -5
to 5 dB over backgrounds of the same power. Other random numbers than the authors' are drawn, so this is
another set of the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from amrbench.data.audio import open_audio
from amrbench.data.resample import resample
from amrbench.errors import DataError
from amrbench.types import Query
from amrbench_plugins.datasets.corpora.catalogue import Background, Sound
from amrbench_plugins.datasets.corpora.mixing import Mixture
from amrbench_plugins.datasets.corpora.sound import (
    Wave,
    active,
    faded,
    gained,
    guarded,
    level,
    level_below,
    read_at,
)

TOURS: Mapping[str, tuple[str, ...]] = {
    "train": ("Amsterdam", "Bangkok", "Chiang_Mai", "Kuala_Lumpur", "Stockholm", "Venice", "Zurich"),
    "val": ("Singapore",),
    "test": ("Istanbul", "Wildlife"),
}
"""Which tours are behind which split, by the ids of the released annotations."""
CLOTHO: Mapping[str, str] = {"train": "development", "val": "validation", "test": "evaluation"}
SECONDS = 60
GAP = 30.0
_LEVEL = -30.0
_LONGEST = 30
_TRIES = 20


@dataclass(frozen=True)
class Place:
    """A window that is populated."""

    tour: int
    start: int


@dataclass(frozen=True)
class Part:
    """The sounds and tours of a split, with the seconds of each."""

    split: str
    sounds: tuple[Sound, ...]
    lengths: tuple[int, ...]
    tours: tuple[Background, ...]
    seconds: tuple[int, ...]


def part_of(split: str, sounds: Sequence[Sound], tours: Sequence[Background]) -> Part:
    """Return a split with the lengths that the headers of its files tell; the audio is not read.

    Raises:
        DataError: A file is damaged, or a tour is shorter than a window.
    """
    lengths = tuple(min(_LONGEST, int(open_audio(each.path).seconds)) for each in sounds)
    seconds = tuple(int(open_audio(each.path).seconds) for each in tours)
    for tour, length in zip(tours, seconds, strict=True):
        if length < SECONDS:
            raise DataError(
                f"{tour.path}: has {length} s, and a tour fills windows of {SECONDS} s. Put the whole tour "
                "there."
            )
    return Part(split, tuple(sounds), lengths, tuple(tours), seconds)


class Mixer:
    """Makes the windows of a split."""

    def __init__(self, part: Part, *, seed: int, rate: int, step: int) -> None:
        self.part, self.seed, self.rate, self.step = part, seed, rate, step

    @cached_property
    def places(self) -> list[Place]:
        """Return the windows into which their first sound fits, tour by tour."""
        return [
            Place(tour, start)
            for tour, seconds in enumerate(self.part.seconds)
            for start in range(0, seconds - SECONDS + 1, self.step)
            if self._first_fits(tour, start)
        ]

    def clip(self, place: Place) -> Mixture:
        """Return a window with its sounds; the same whatever was asked before.

        Raises:
            DataError: A file is missing or damaged.
        """
        tour = self.part.tours[place.tour]
        vid = f"{tour.name}_{place.start}.0_{place.start + SECONDS}.0"
        bed = self._background(place)
        mixture, queries, told = bed.copy(), [], []
        for number, (at, sound, caption, foreground) in enumerate(self._draws(place), start=1):
            wave = self._foreground(sound)
            length = len(wave) // self.rate
            if at + length > SECONDS:
                break
            stretch = slice(round(at * self.rate), round(at * self.rate) + length * self.rate)
            wave = faded(wave[: length * self.rate], round(0.02 * self.rate))
            mixture[stretch] += gained(wave, _LEVEL + foreground - level(wave))
            window = (at, at + length)
            text = sound.captions[caption % len(sound.captions)]
            queries.append(
                Query(f"{vid}_{number}", text, vid, float(SECONDS), (window,), {"fg_dB": foreground})
            )
            told.append(
                {
                    "corpus": sound.corpus, "id": sound.name, "file": sound.path.name,
                    "licence": sound.licence, "caption": text, "window": list(window), "fg_db": foreground,
                }
            )  # fmt: skip
        mixture, turned_down = guarded(mixture)
        about = {
            "vid": vid, "gain_db": turned_down, "events": told,
            "background": {
                "corpus": tour.corpus, "id": tour.name, "file": tour.path.name, "licence": tour.licence,
                "from_seconds": [place.start, place.start + SECONDS],
            },
        }  # fmt: skip
        return Mixture(vid, self.rate, mixture, tuple(queries), about)

    def _rng(self, place: Place) -> np.random.Generator:
        split = list(TOURS).index(self.part.split)
        return np.random.default_rng((self.seed, split, place.tour, place.start))

    def _first_fits(self, tour: int, start: int) -> bool:
        # Cutting silence only shortens a sound, so one that fits by its header fits.
        at, sound = _drawn(self._rng(Place(tour, start)), len(self.part.sounds))[:2]
        return self.part.lengths[sound] >= 1 and at + self.part.lengths[sound] <= SECONDS

    def _draws(self, place: Place) -> list[tuple[float, Sound, int, float]]:
        """Return onset, sound, caption and level of each sound, until the next would begin too late."""
        rng, found, at = self._rng(place), [], 0.0
        for _ in range(_TRIES):
            gap, sound, caption, foreground = _drawn(rng, len(self.part.sounds))
            at = round(at + gap, 1)
            length = self._length(self.part.sounds[sound])
            if at + length > SECONDS:
                break
            if length >= 1:
                found.append((at, self.part.sounds[sound], caption, foreground))
                at += length
        return found

    def _length(self, sound: Sound) -> int:
        return len(self._foreground(sound)) // self.rate

    def _foreground(self, sound: Sound) -> Wave:
        """Return a sound without the silence around it, at most 30 s."""
        wave = read_at(sound.path, self.rate)
        start, end = active(wave, self.rate)
        return wave[start : min(end, start + _LONGEST * self.rate)]

    def _background(self, place: Place) -> Wave:
        file, end = open_audio(self.part.tours[place.tour].path), place.start + SECONDS
        piece = file.read(place.start * file.rate, end * file.rate)
        bed = resample(piece, file.rate, self.rate)[: SECONDS * self.rate]
        return gained(bed, _LEVEL - level_below(bed, file.path, f"from {place.start} to {end} s"))


def _drawn(rng: np.random.Generator, sounds: int) -> tuple[float, int, int, float]:
    gap = round(float(rng.exponential(GAP)), 1)
    return gap, int(rng.integers(sounds)), int(rng.integers(1 << 30)), float(rng.uniform(-5, 5))
