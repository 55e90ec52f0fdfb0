"""The five-minute set of the report (Table 1), mixed anew from DEMAND and WavCaps.

The report gives the corpora, the numbers of clips and queries, the length, and one to five events a clip. It
does not state signal-to-noise ratios, gaps and which six environments: those are our choices. The channels of
an environment record one scene at the same time, so one environment is for validation alone.

A clip is first planned, without any audio, and then mixed from its plan. A plan names more sounds than the
clip has events: a sound that turns out to be silent or too short is replaced by the next one, so the numbers
of Table 1 are met exactly.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.errors import DataError
from amrbench.slots.data import Dataset
from amrbench.types import Query
from amrbench_plugins.datasets.corpora.catalogue import Background, Sound, hash_fraction, hash_of_sources
from amrbench_plugins.datasets.corpora.sound import (
    MixedRecording,
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
MOST_EVENTS = 5
"""Of a clip; one at least."""
_VERSION = 2
"""Raised when the same corpora give other clips."""
_SNR = (0.0, 15.0)
"""Lowest and highest level of an event over the background in its window, dB."""
_BACKGROUND = (-44.0, -36.0)
"""Lowest and highest level of the background, dB."""
_GAP = 1.0
"""Seconds between events at least."""
_SHORTEST, _LONGEST = 0.5, 40.0
"""Seconds of a sound without its silence; the loudest part of longer ones is used."""
_SPARE = 10
"""Sounds of a plan beyond the number of its events."""
_TRIES = 200
_ALIKE = 0.6
"""Fraction of common words from which on two captions are too alike for one clip."""
_COUNTS, _PLAN = 1, 2
"""Parts of random seeds: what is drawn."""
_FADE = 0.02
"""Seconds at both ends of an event."""

_read_background = lru_cache(maxsize=2)(read_audio)
"""Many clips use the same background."""


@dataclass(frozen=True)
class MixOptions:
    """What can be chosen about the set.

    Attributes:
        seed: Another seed, another set.
        seconds: Length of a clip.
        rate: Samples a second.
        clips: Of each split.
        queries: Of each split, in all.
    """

    seed: int
    seconds: int
    rate: int
    clips: tuple[int, int]
    queries: tuple[int, int]


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


@dataclass(frozen=True, eq=False)
class SplitSources:
    """The sounds and backgrounds of a split."""

    sounds: list[Sound]
    backgrounds: list[Background]

    @cached_property
    def plain_captions(self) -> list[str]:
        """Return the first caption of each sound in lower case, without punctuation, for comparisons."""
        return [" ".join(re.findall(r"[a-z0-9']+", sound.captions[0].lower())) for sound in self.sounds]

    @cached_property
    def cumulative_weights(self) -> NDArray[np.float64]:
        """Return running sums of the weights of sounds in draws: the rarer its caption, the higher."""
        counts = Counter(self.plain_captions)
        return np.cumsum([1 / np.sqrt(counts[caption]) for caption in self.plain_captions])

    def draw_sounds(self, rng: np.random.Generator, count: int) -> tuple[int, ...]:
        """Return indices of sounds whose captions are not alike; fewer than `count` if there are no more."""
        chosen: dict[int, set[str]] = {}
        for _ in range(_TRIES):
            if len(chosen) == count:
                break
            weight = rng.random() * self.cumulative_weights[-1]
            drawn = int(np.searchsorted(self.cumulative_weights, weight, side="right"))
            words = set(self.plain_captions[drawn].split())
            if not any(len(words & other) >= _ALIKE * len(words | other) for other in chosen.values()):
                chosen[drawn] = words
        return tuple(chosen)


def split_sources(
    sounds: Sequence[Sound], backgrounds: Sequence[Background], val_fraction: float
) -> dict[str, SplitSources]:
    """Divide sounds by recording and backgrounds by environment, so that no recording is in two splits.

    Args:
        sounds: All sounds; those whose first caption has 2 to 20 words are used.
        backgrounds: All backgrounds, 16 channels of each environment; the last environment is for `val`.
        val_fraction: Fraction of the sounds that are for `val`.

    Raises:
        DataError: A split has no sound.
    """
    divided = {split: SplitSources([], []) for split in SPLITS}
    for sound in sounds:
        if 2 <= len(sound.captions[0].split()) <= 20:
            for_val = hash_fraction(f"{sound.corpus} {sound.name}") < val_fraction
            divided["val" if for_val else "train"].sounds.append(sound)
    for background in backgrounds:
        for_val = background.environment == backgrounds[-1].environment
        divided["val" if for_val else "train"].backgrounds.append(background)
    for split, sources in divided.items():
        if not sources.sounds:
            raise DataError(f"intermediate300: WavCaps has no sound for {split}. Use more of its subsets.")
    return divided


@lru_cache
def event_counts(options: MixOptions, split: str) -> NDArray[np.int64]:
    """Return the number of events of each clip: drawn uniformly, then changed by one to meet the sum.

    Raises:
        DataError: The sum cannot be met.
    """
    index = SPLITS.index(split)
    clips, total = options.clips[index], options.queries[index]
    if not clips <= total <= clips * MOST_EVENTS:
        raise DataError(
            f"{total} queries do not fit into {clips} clips with 1 to {MOST_EVENTS} events each. "
            "Change 'clips' or 'queries'."
        )
    rng = np.random.default_rng((options.seed, _COUNTS, index))
    counts = rng.integers(1, MOST_EVENTS + 1, clips)
    while (difference := total - int(counts.sum())) != 0:
        step = 1 if difference > 0 else -1
        free = np.flatnonzero((counts + step >= 1) & (counts + step <= MOST_EVENTS))
        counts[rng.permutation(free)[: abs(difference)]] += step
    counts.setflags(write=False)  # All plans of the split share it.
    return counts


def plan_clip(options: MixOptions, split: str, index: int, sources: SplitSources) -> ClipPlan:
    """Return the plan of a clip; the same whatever was asked before."""
    count = int(event_counts(options, split)[index])
    rng = np.random.default_rng((options.seed, _PLAN, SPLITS.index(split), index))
    # The order of these draws determines the data set.
    environments = sorted({background.environment for background in sources.backgrounds})
    environment = environments[rng.integers(len(environments))]
    channels = [n for n, file in enumerate(sources.backgrounds) if file.environment == environment]
    background, offset, decibels = int(rng.choice(channels)), rng.random(), rng.uniform(*_BACKGROUND)
    sounds = sources.draw_sounds(rng, count + _SPARE)
    captions = tuple(int(rng.integers(len(sources.sounds[sound].captions))) for sound in sounds)
    snrs = tuple(rng.uniform(*_SNR) for _ in sounds)
    positions = tuple(sorted(rng.random(count).tolist()))
    vid = f"int{options.seconds}_{split}_{index:05d}"
    return ClipPlan(vid, background, offset, decibels, count, sounds, captions, snrs, positions)


@dataclass(frozen=True, eq=False)
class _Event:
    sound: Sound
    caption: str
    snr: float
    wave: Wave
    first: int
    """First sample of the wave in its file."""


def mix_clip(options: MixOptions, plan: ClipPlan, sources: SplitSources) -> MixedRecording:
    """Return the clip of a plan.

    Raises:
        DataError: A file is missing or damaged, the background is silent, or too few of the plan's sounds can
            be used.
    """
    rate, seconds = options.rate, options.seconds
    source = sources.backgrounds[plan.background]
    where = f"where it is the background of {plan.vid} from {{:g}} to {{:g}} s"
    recording = _read_background(source.path, rate)
    bed = loop_from(recording, int(plan.offset * len(recording)), seconds * rate, fade=rate)
    bed = amplify(bed, plan.level - background_level(bed, source.path, where.format(0, seconds)))
    mixture, queries, rows = bed.copy(), [], []
    events, gap = _usable_events(options, plan, sources), round(_GAP * rate)
    # All arrangements of the events that keep the gaps are equally likely.
    free = seconds * rate - sum(len(event.wave) for event in events) - gap * (len(events) + 1)
    taken = gap
    for number, (position, event) in enumerate(zip(plan.positions, events, strict=True), start=1):
        first = int(position * free) + taken
        end, taken = first + len(event.wave), taken + len(event.wave) + gap
        # Outward to multiples of 0.1 s; the small number is for times that are multiples but for rounding.
        start = max(0.0, math.floor(first / rate * 10 + 1e-6) / 10)
        window = start, min(seconds, math.ceil(end / rate * 10 - 1e-6) / 10)
        under = background_level(bed[first:end], source.path, where.format(*window))
        gain = under + event.snr - level(event.wave)
        mixture[first:end] += amplify(event.wave, gain)
        qid = f"{plan.vid}_{number}"
        queries.append(Query(qid, event.caption, plan.vid, float(seconds), (window,), {}))
        row = event.sound.as_row() | {"caption": event.caption}
        row["from_seconds"] = [event.first / rate, (event.first + len(event.wave)) / rate]
        rows.append(row | {"window": list(window), "snr_db": event.snr, "gain_db": gain})
    mixture, gain = limit_peak(mixture)
    provenance = {
        "vid": plan.vid,
        "plan": plan.as_row(),
        "background": source.as_row(),
        "offset_share": plan.offset,
        "gain_db": gain,
        "events": rows,
    }
    return MixedRecording(plan.vid, rate, mixture, tuple(queries), provenance)


def _usable_events(options: MixOptions, plan: ClipPlan, sources: SplitSources) -> list[_Event]:
    """Return the first sounds of a plan that can be used, without the silence at their ends.

    A sound is not used if it is too short, or if no time is free for it.
    """
    rate, events = options.rate, list[_Event]()
    free = options.seconds - (plan.event_count + 1) * _GAP
    for index, caption, snr in zip(plan.sounds, plan.captions, plan.snrs, strict=True):
        if len(events) == plan.event_count:
            break
        sound = sources.sounds[index]
        wave = read_audio(sound.path, rate)
        first, end = audible_range(wave, rate)
        longest = round(min(_LONGEST, free) * rate)
        if end - first > longest > 0:
            first += loudest_start(wave[first:end], longest)
            end = first + longest
        if end - first >= _SHORTEST * rate and longest > 0:
            faded = fade_ends(wave[first:end], round(_FADE * rate))
            events.append(_Event(sound, sound.captions[caption], snr, faded, first))
            free -= len(faded) / rate
    if len(events) < plan.event_count:
        raise DataError(
            f"{plan.vid}: only {len(events)} of {plan.event_count} events fit; the {len(plan.sounds)} sounds "
            "that were drawn are silent, too short, or too long together. Use more subsets of WavCaps."
        )
    return events


class IntermediateDataset(Dataset):
    """The clips of both splits; the files of the corpora are listed when the first clip is asked for."""

    def __init__(
        self, options: MixOptions, list_sources: Callable[[], tuple[Sequence[Sound], Sequence[Background]]]
    ) -> None:
        self.options, self.list_sources = options, list_sources

    @override
    def splits(self) -> Sequence[str]:
        return SPLITS

    @override
    def size(self, split: str) -> int:
        return self.options.clips[SPLITS.index(split)]

    @override
    def recording(self, split: str, index: int) -> MixedRecording:
        sources = self._sources[split]
        return mix_clip(self.options, plan_clip(self.options, split, index, sources), sources)

    @override
    def fingerprint(self) -> str:
        sources = self._sources.values()
        hashes = [[hash_of_sources(split.sounds), hash_of_sources(split.backgrounds)] for split in sources]
        return content_hash([_VERSION, asdict(self.options), hashes])

    @cached_property
    def _sources(self) -> dict[str, SplitSources]:
        return split_sources(*self.list_sources(), self.options.clips[1] / sum(self.options.clips))
