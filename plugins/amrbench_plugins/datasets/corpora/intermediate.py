"""The five-minute set of the report (Table 1), mixed anew from DEMAND and WavCaps.

The report gives the corpora, the numbers of clips and queries, the length, and one to five events a clip. It
does not state signal-to-noise ratios, gaps and which six environments: those are our choices.

A clip is first planned, without any audio, and then rendered from its plan. A plan names more sounds than the
clip has events: a sound that turns out to be silent or too short is replaced by the next one, so the numbers
of Table 1 are met exactly.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amrbench.errors import DataError
from amrbench.types import Query, Window
from amrbench_plugins.datasets.corpora.catalogue import Background, Sound, hash_fraction
from amrbench_plugins.datasets.corpora.mixed_recording import MixedRecording, source_row
from amrbench_plugins.datasets.corpora.sound import (
    Wave,
    amplify,
    audible_range,
    background_level,
    fade_ends,
    level,
    limit_peak,
    loop_from,
    loudest_start,
    read_audio,
)

SPLITS = ("train", "val")
_SPARE = 10
"""Sounds of a plan beyond the number of its events."""
_TRIES = 200
_ALIKE = 0.6
"""Fraction of common words from which on two captions are too alike for one clip."""
_COUNTS, _PLAN = 1, 2
"""Parts of random seeds: what is drawn."""
_FADE = 0.02
"""Seconds at both ends of an event."""
_VAL_CHANNELS = ("ch15", "ch16")


@dataclass(frozen=True)
class MixOptions:
    """How clips are mixed.

    Attributes:
        seed: Another seed, another set.
        seconds: Length of a clip.
        rate: Samples a second.
        clips: Of each split.
        queries: Of each split, in all.
        most: Events of a clip at most; one at least.
        snr: Lowest and highest level of an event over the background in its window, dB.
        background: Lowest and highest level of the background, dB.
        gap: Seconds between events at least.
        shortest: Seconds of a sound at least, after its silence is cut off.
        longest: Seconds of a sound at most; the loudest part of longer ones is used.
    """

    seed: int = 0
    seconds: int = 300
    rate: int = 32_000
    clips: tuple[int, int] = (5000, 500)
    queries: tuple[int, int] = (14_385, 1_414)
    most: int = 5
    snr: tuple[float, float] = (0.0, 15.0)
    background: tuple[float, float] = (-44.0, -36.0)
    gap: float = 1.0
    shortest: float = 0.5
    longest: float = 40.0


@dataclass(frozen=True)
class ClipPlan:
    """What goes into a clip.

    Attributes:
        vid: Its id.
        background: Index of the background in the sources of the split.
        offset: Where in the background the clip begins, as a fraction of its length.
        level: Of the background, dB.
        event_count: Number of its events.
        sounds: Indices of sounds in the sources of the split; the first ones that can be used become events.
        captions: Index of the caption of each sound.
        snrs: Level of each sound over the background, dB.
        positions: Of the events in the free time of the clip, as sorted fractions.
    """

    vid: str
    background: int
    offset: float
    level: float
    event_count: int
    sounds: tuple[int, ...]
    captions: tuple[int, ...]
    snrs: tuple[float, ...]
    positions: tuple[float, ...]

    def as_row(self) -> dict[str, object]:
        """Return it with the keys of the manifest."""
        keys = {"event_count": "wanted", "positions": "shares"}
        return {keys.get(name, name): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class SplitSources:
    """The sounds and backgrounds of a split."""

    sounds: tuple[Sound, ...]
    backgrounds: tuple[Background, ...]

    @cached_property
    def cumulative_weights(self) -> NDArray[np.float64]:
        """Return running sums of the weights of sounds in draws: the rarer its caption, the higher."""
        captions = [plain_words(sound.captions[0]) for sound in self.sounds]
        counts = Counter(captions)
        return np.cumsum([1 / np.sqrt(counts[caption]) for caption in captions])


def split_sources(
    sounds: Sequence[Sound], backgrounds: Sequence[Background], val_fraction: float
) -> dict[str, SplitSources]:
    """Divide sounds by recording and backgrounds by channel, so that no file is in two splits.

    Args:
        sounds: All sounds; those whose first caption has 2 to 20 words are used.
        backgrounds: All backgrounds, 16 channels of each environment.
        val_fraction: Fraction of the sounds that are for `val`.
    """
    divided: dict[str, list[Sound]] = {split: [] for split in SPLITS}
    for sound in sounds:
        if 2 <= len(sound.captions[0].split()) <= 20:
            for_val = hash_fraction(f"{sound.corpus} {sound.name}") < val_fraction
            divided["val" if for_val else "train"].append(sound)
    train = tuple(background for background in backgrounds if not background.name.endswith(_VAL_CHANNELS))
    val = tuple(background for background in backgrounds if background.name.endswith(_VAL_CHANNELS))
    return {
        "train": SplitSources(tuple(divided["train"]), train),
        "val": SplitSources(tuple(divided["val"]), val),
    }


def plain_words(caption: str) -> str:
    """Return a caption in the form in which captions are compared: lower case, without punctuation."""
    return " ".join(re.findall(r"[a-z0-9']+", caption.lower()))


class ClipPlanner:
    """Makes the plans of a split."""

    def __init__(self, options: MixOptions, split: str, sources: SplitSources) -> None:
        self.options, self.split, self.sources = options, split, sources

    @cached_property
    def event_counts(self) -> NDArray[np.int64]:
        """Return the number of events of each clip: drawn uniformly, then changed by one to meet the sum."""
        index, most = SPLITS.index(self.split), self.options.most
        clips, total = self.options.clips[index], self.options.queries[index]
        if not clips <= total <= clips * most:
            raise DataError(
                f"{total} queries do not fit into {clips} clips with 1 to {most} events each. "
                "Change 'clips' or 'queries'."
            )
        rng = np.random.default_rng((self.options.seed, _COUNTS, index))
        counts = rng.integers(1, most + 1, clips)
        while (difference := total - int(counts.sum())) != 0:
            step = 1 if difference > 0 else -1
            free = np.flatnonzero((counts + step >= 1) & (counts + step <= most))
            counts[rng.permutation(free)[: abs(difference)]] += step
        return counts

    def plan(self, index: int) -> ClipPlan:
        """Return the plan of a clip; the same whatever was asked before."""
        options, backgrounds = self.options, self.sources.backgrounds
        count = int(self.event_counts[index])
        rng = np.random.default_rng((options.seed, _PLAN, SPLITS.index(self.split), index))
        # The order of these draws determines the data set.
        environments = sorted({background.environment for background in backgrounds})
        environment = environments[rng.integers(len(environments))]
        channels = [n for n, background in enumerate(backgrounds) if background.environment == environment]
        background, offset, decibels = (
            int(rng.choice(channels)),
            rng.random(),
            rng.uniform(*options.background),
        )
        sounds = self.draw_sounds(rng, count + _SPARE)
        captions = tuple(int(rng.integers(len(self.sources.sounds[sound].captions))) for sound in sounds)
        snrs = tuple(rng.uniform(*options.snr) for _ in sounds)
        positions = tuple(sorted(rng.random(count).tolist()))
        vid = f"int{options.seconds}_{self.split}_{index:05d}"
        return ClipPlan(vid, background, offset, decibels, count, sounds, captions, snrs, positions)

    def draw_sounds(self, rng: np.random.Generator, count: int) -> tuple[int, ...]:
        """Return indices of sounds whose captions are not alike; fewer than `count` if there are no more."""
        chosen: list[int] = []
        weights = self.sources.cumulative_weights
        for _ in range(_TRIES):
            if len(chosen) == count:
                break
            drawn = int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
            if drawn not in chosen and not any(self._are_alike(drawn, other) for other in chosen):
                chosen.append(drawn)
        return tuple(chosen)

    def _are_alike(self, one: int, other: int) -> bool:
        first, second = (
            set(plain_words(self.sources.sounds[index].captions[0]).split()) for index in (one, other)
        )
        return len(first & second) >= _ALIKE * len(first | second)


@dataclass(frozen=True, eq=False)
class _Event:
    sound: Sound
    caption: str
    snr: float
    wave: Wave
    first: int
    """First sample of the wave in its file."""


class ClipRenderer:
    """Mixes clips of a split from their plans."""

    def __init__(self, options: MixOptions, sources: SplitSources) -> None:
        self.options, self.sources = options, sources

    def clip(self, plan: ClipPlan) -> MixedRecording:
        """Return the clip of a plan.

        Raises:
            DataError: A file is missing or damaged, the background is silent, or too few of the plan's sounds
                can be used.
        """
        rate, seconds = self.options.rate, self.options.seconds
        source = self.sources.backgrounds[plan.background]
        where = f"where it is the background of {plan.vid} from {{:g}} to {{:g}} s"
        recording = _read_background(source.path, rate)
        bed = loop_from(recording, int(plan.offset * len(recording)), seconds * rate, fade=rate)
        bed = amplify(bed, plan.level - background_level(bed, source.path, where.format(0, seconds)))
        mixture, queries, rows = bed.copy(), [], []
        events = self._events(plan)
        for number, (event, first) in enumerate(
            zip(events, self._starts(plan, events), strict=True), start=1
        ):
            end = first + len(event.wave)
            window = _round_outward(first / rate, end / rate, seconds)
            under = background_level(bed[first:end], source.path, where.format(*window))
            gain = under + event.snr - level(event.wave)
            mixture[first:end] += amplify(event.wave, gain)
            queries.append(
                Query(f"{plan.vid}_{number}", event.caption, plan.vid, float(seconds), (window,), {})
            )
            rows.append(_event_row(event, window, gain, rate))
        mixture, gain = limit_peak(mixture)
        provenance = {
            "vid": plan.vid,
            "plan": plan.as_row(),
            "background": source_row(source),
            "offset_share": plan.offset,
            "gain_db": gain,
            "events": rows,
        }
        return MixedRecording(plan.vid, rate, mixture, tuple(queries), provenance)

    def _events(self, plan: ClipPlan) -> list[_Event]:
        """Return the first sounds of a plan that can be used."""
        events: list[_Event] = []
        free = self.options.seconds - (plan.event_count + 1) * self.options.gap
        for index, caption, snr in zip(plan.sounds, plan.captions, plan.snrs, strict=True):
            if len(events) == plan.event_count:
                return events
            sound = self.sources.sounds[index]
            event = self._event(sound, sound.captions[caption], snr, free)
            if event is not None:
                events.append(event)
                free -= len(event.wave) / self.options.rate
        if len(events) < plan.event_count:
            raise DataError(
                f"{plan.vid}: only {len(events)} of {plan.event_count} events fit; the {len(plan.sounds)} "
                "sounds that were drawn are silent, too short, or too long together. Use more subsets of "
                "WavCaps, or a lower 'longest'."
            )
        return events

    def _event(self, sound: Sound, caption: str, snr: float, free: float) -> _Event | None:
        """Return a sound without the silence at its ends; None if it is too short or no time is free."""
        rate = self.options.rate
        wave = read_audio(sound.path, rate)
        first, end = audible_range(wave, rate)
        longest = round(min(self.options.longest, free) * rate)
        if end - first > longest > 0:
            first += loudest_start(wave[first:end], longest)
            end = first + longest
        if end - first < self.options.shortest * rate or longest <= 0:
            return None
        return _Event(sound, caption, snr, fade_ends(wave[first:end], round(_FADE * rate)), first)

    def _starts(self, plan: ClipPlan, events: Sequence[_Event]) -> list[int]:
        """Return the first sample of each event: all arrangements that keep the gaps are equally likely."""
        gap = round(self.options.gap * self.options.rate)
        taken = sum(len(event.wave) for event in events) + gap * (len(events) + 1)
        free = self.options.seconds * self.options.rate - taken
        starts, before = [], gap
        for position, event in zip(plan.positions, events, strict=True):
            starts.append(int(position * free) + before)
            before += len(event.wave) + gap
        return starts


@lru_cache(maxsize=2)
def _read_background(path: Path, rate: int) -> Wave:
    return read_audio(path, rate)


def _round_outward(start: float, end: float, seconds: float) -> Window:
    """Return the shortest window in a clip that holds another and whose ends are multiples of 0.1 s."""
    first, last = math.floor(start * 10 + 1e-6) / 10, math.ceil(end * 10 - 1e-6) / 10
    return max(0.0, first), min(seconds, last)


def _event_row(event: _Event, window: Window, gain: float, rate: int) -> dict[str, object]:
    return {
        **source_row(event.sound),
        "caption": event.caption,
        "from_seconds": [event.first / rate, (event.first + len(event.wave)) / rate],
        "window": list(window),
        "snr_db": event.snr,
        "gain_db": gain,
    }
