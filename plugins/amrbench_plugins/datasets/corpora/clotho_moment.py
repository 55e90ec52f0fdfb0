"""One-minute clips in the manner of Clotho-Moment (Munakata et al. 2025), from Clotho and Walking Tours.

What the paper says, and what the released annotations show: a clip begins at each second of a tour. Each clip
is filled independently with Clotho recordings, after gaps with exponentially distributed lengths of 30 s on
average; clips without any are left out. Widths are whole seconds, onsets are multiples of 0.1 s, and
foregrounds are -5 to 5 dB over backgrounds, which all have the same power. The random numbers are not those
of the authors, so this is another set of the same kind.
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
from amrbench_plugins.datasets.corpora.mixed_recording import MixedRecording, source_row
from amrbench_plugins.datasets.corpora.sound import (
    Wave,
    amplify,
    audible_range,
    background_level,
    fade_ends,
    level,
    limit_peak,
    read_audio,
)

TOURS: Mapping[str, tuple[str, ...]] = {
    "train": ("Amsterdam", "Bangkok", "Chiang_Mai", "Kuala_Lumpur", "Stockholm", "Venice", "Zurich"),
    "val": ("Singapore",),
    "test": ("Istanbul", "Wildlife"),
}
"""The tours of each split, by the ids of the released annotations."""
CLOTHO: Mapping[str, str] = {"train": "development", "val": "validation", "test": "evaluation"}
"""The split of Clotho for each split."""
SECONDS = 60
GAP = 30.0
"""Mean of the gaps in seconds."""
_LEVEL = -30.0
"""Of backgrounds, dB."""
_LONGEST = 30
"""Seconds of a sound."""
_TRIES = 20
_FADE = 0.02


@dataclass(frozen=True)
class TourExcerpt:
    """A minute of a tour: the index of the tour, and where it begins in seconds."""

    tour: int
    start: int


@dataclass(frozen=True)
class TourSources:
    """The sounds and tours of a split.

    Attributes:
        split: Its name.
        sounds: With captions.
        lengths: Whole seconds of each sound, at most `_LONGEST`.
        tours: The backgrounds.
        seconds: Whole seconds of each tour.
    """

    split: str
    sounds: tuple[Sound, ...]
    lengths: tuple[int, ...]
    tours: tuple[Background, ...]
    seconds: tuple[int, ...]


def tour_sources(split: str, sounds: Sequence[Sound], tours: Sequence[Background]) -> TourSources:
    """Return the sources of a split with their lengths; only the headers of the files are read.

    Raises:
        DataError: A file is damaged, or a tour is shorter than a clip.
    """
    lengths = tuple(min(_LONGEST, int(open_audio(sound.path).seconds)) for sound in sounds)
    seconds = tuple(int(open_audio(tour.path).seconds) for tour in tours)
    for tour, length in zip(tours, seconds, strict=True):
        if length < SECONDS:
            raise DataError(
                f"{tour.path}: has {length} s, less than a clip of {SECONDS} s. Put the whole tour there."
            )
    return TourSources(split, tuple(sounds), lengths, tuple(tours), seconds)


@dataclass(frozen=True, eq=False)
class _Event:
    start: float
    """In the clip, seconds."""
    sound: Sound
    caption: str
    fg_db: float
    wave: Wave
    """Whole seconds."""


class ExcerptMixer:
    """Mixes the clips of a split."""

    def __init__(self, sources: TourSources, *, seed: int, rate: int, step: int) -> None:
        self.sources, self.seed, self.rate, self.step = sources, seed, rate, step

    @cached_property
    def excerpts(self) -> list[TourExcerpt]:
        """Return the excerpts in which the first sound fits, tour by tour."""
        candidates = [
            TourExcerpt(tour, start)
            for tour, seconds in enumerate(self.sources.seconds)
            for start in range(0, seconds - SECONDS + 1, self.step)
        ]
        return [excerpt for excerpt in candidates if self._first_fits(excerpt)]

    def clip(self, excerpt: TourExcerpt) -> MixedRecording:
        """Return an excerpt with its sounds; the same whatever was asked before.

        Raises:
            DataError: A file is missing or damaged, or the background is silent.
        """
        tour = self.sources.tours[excerpt.tour]
        vid = f"{tour.name}_{excerpt.start}.0_{excerpt.start + SECONDS}.0"
        mixture, queries, rows = self._background(excerpt), [], []
        for number, event in enumerate(self._events(excerpt), start=1):
            first, end = round(event.start * self.rate), event.start + len(event.wave) // self.rate
            gain = _LEVEL + event.fg_db - level(event.wave)
            mixture[first : first + len(event.wave)] += amplify(event.wave, gain)
            window, extra = (event.start, end), {"fg_dB": event.fg_db}
            queries.append(Query(f"{vid}_{number}", event.caption, vid, float(SECONDS), (window,), extra))
            row = {"caption": event.caption, "window": list(window), "fg_db": event.fg_db}
            rows.append(source_row(event.sound) | row)
        mixture, gain = limit_peak(mixture)
        seconds = [excerpt.start, excerpt.start + SECONDS]
        provenance = {
            "vid": vid,
            "gain_db": gain,
            "events": rows,
            "background": {**source_row(tour), "from_seconds": seconds},
        }
        return MixedRecording(vid, self.rate, mixture, tuple(queries), provenance)

    def _rng(self, excerpt: TourExcerpt) -> np.random.Generator:
        split = list(TOURS).index(self.sources.split)
        return np.random.default_rng((self.seed, split, excerpt.tour, excerpt.start))

    def _first_fits(self, excerpt: TourExcerpt) -> bool:
        # Cutting silence only shortens a sound, so one that fits by its header fits.
        gap, index = _draw(self._rng(excerpt), len(self.sources.sounds))[:2]
        return self.sources.lengths[index] >= 1 and gap + self.sources.lengths[index] <= SECONDS

    def _events(self, excerpt: TourExcerpt) -> list[_Event]:
        """Draw sounds one after the other until the next one would not end in the clip."""
        rng, events, start = self._rng(excerpt), [], 0.0
        for _ in range(_TRIES):
            gap, index, number, fg_db = _draw(rng, len(self.sources.sounds))
            sound = self.sources.sounds[index]
            start = round(start + gap, 1)
            wave = self._foreground(sound)
            length = len(wave) // self.rate
            if start + length > SECONDS:
                break
            if length >= 1:
                caption = sound.captions[number % len(sound.captions)]
                events.append(_Event(start, sound, caption, fg_db, wave))
                start += length
        return events

    def _foreground(self, sound: Sound) -> Wave:
        """Return the whole seconds of a sound without the silence at its ends, at most 30."""
        wave = read_audio(sound.path, self.rate)
        start, end = audible_range(wave, self.rate)
        length = min((end - start) // self.rate, _LONGEST) * self.rate
        return fade_ends(wave[start : start + length], round(_FADE * self.rate))

    def _background(self, excerpt: TourExcerpt) -> Wave:
        start, end = excerpt.start, excerpt.start + SECONDS
        file = open_audio(self.sources.tours[excerpt.tour].path)
        piece = resample(file.read(start * file.rate, end * file.rate), file.rate, self.rate)
        piece = piece[: SECONDS * self.rate]
        return amplify(piece, _LEVEL - background_level(piece, file.path, f"from {start} to {end} s"))


def _draw(rng: np.random.Generator, sounds: int) -> tuple[float, int, int, float]:
    """Return a gap in seconds, the index of a sound, a number for its caption, and dB over the background."""
    gap = round(float(rng.exponential(GAP)), 1)
    return gap, int(rng.integers(sounds)), int(rng.integers(1 << 30)), float(rng.uniform(-5, 5))
