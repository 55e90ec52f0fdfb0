"""The five-minute set of the report (Table 1), mixed anew from DEMAND and WavCaps.

The report gives the corpora, the numbers of clips and queries, the length, and one to five events a clip.
Signal-to-noise ratios, gaps and which six environments are not stated: those are our choices.

A list of what goes into each clip comes first, and needs no audio: a clip is then a function of its line. The
list names more sounds than wanted, because some turn out to be silent or too short; the next one takes their
place, so the numbers of Table 1 are met exactly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amrbench.errors import DataError
from amrbench.types import Query
from amrbench_plugins.datasets.corpora.catalogue import Background, Sound, share_of
from amrbench_plugins.datasets.corpora.mixing import Mixture, outward
from amrbench_plugins.datasets.corpora.sound import (
    Wave,
    active,
    faded,
    gained,
    guarded,
    level,
    level_below,
    loudest,
    read_at,
    turned,
)

SPLITS = ("train", "val")
_SPARE = 10
"""Sounds that a line names beyond those wanted."""
_TRIES = 200
_ALIKE = 0.6
"""Share of common words from which on two captions of a clip could be mistaken for each other."""
_COUNTS, _LINE = 1, 2
"""What a random generator is for."""


@dataclass(frozen=True)
class Mix:
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
        longest: Seconds of a sound at most; of longer ones the loudest stretch is taken.
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
class Line:
    """What goes into a clip.

    Attributes:
        vid: Its name.
        background: Which of the split's backgrounds.
        offset: Where in it the clip begins, as a share of its length.
        level: Of the background, dB.
        wanted: Number of events.
        sounds: Which of the split's sounds, those first that are first tried.
        captions: Which caption of each.
        snrs: Of each event, dB.
        shares: Sorted, where in the free time the events lie.
    """

    vid: str
    background: int
    offset: float
    level: float
    wanted: int
    sounds: tuple[int, ...]
    captions: tuple[int, ...]
    snrs: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Part:
    """The sounds and backgrounds of a split."""

    sounds: tuple[Sound, ...]
    backgrounds: tuple[Background, ...]

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Return running sums of how likely each sound is: the rarer its caption, the likelier."""
        counts: dict[str, int] = {}
        for each in self.sounds:
            counts[words(each.captions[0])] = counts.get(words(each.captions[0]), 0) + 1
        return np.cumsum([1 / np.sqrt(counts[words(each.captions[0])]) for each in self.sounds])


def parted(sounds: Sequence[Sound], backgrounds: Sequence[Background], share: float) -> dict[str, Part]:
    """Divide sounds by recording and backgrounds by channel, so that no file is in two splits.

    Args:
        sounds: All sounds.
        backgrounds: All backgrounds, 16 channels for each place.
        share: Of the sounds that are for `val`.
    """
    usable = [each for each in sounds if 2 <= len(each.captions[0].split()) <= 20]
    far = [each for each in usable if share_of(f"{each.corpus} {each.name}") < share]
    near = [each for each in usable if share_of(f"{each.corpus} {each.name}") >= share]
    last = [each for each in backgrounds if each.name.endswith(("ch15", "ch16"))]
    rest = [each for each in backgrounds if each not in last]
    return {"train": Part(tuple(near), tuple(rest)), "val": Part(tuple(far), tuple(last))}


class Planner:
    """Makes the lines of a split."""

    def __init__(self, mix: Mix, split: str, part: Part) -> None:
        self.mix, self.split, self.part = mix, split, part

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Return the number of events of each clip: drawn evenly, then moved by one until the sum is met."""
        place = SPLITS.index(self.split)
        clips, total = self.mix.clips[place], self.mix.queries[place]
        if not clips <= total <= clips * self.mix.most:
            raise DataError(
                f"{total} queries do not fit into {clips} clips with 1 to {self.mix.most} events each. "
                "Change 'clips' or 'queries'."
            )
        rng = np.random.default_rng((self.mix.seed, _COUNTS, place))
        counts = rng.integers(1, self.mix.most + 1, clips)
        while (apart := total - int(counts.sum())) != 0:
            step = 1 if apart > 0 else -1
            free = np.flatnonzero((counts + step >= 1) & (counts + step <= self.mix.most))
            counts[rng.permutation(free)[: abs(apart)]] += step
        return counts

    def line(self, index: int) -> Line:
        """Return the line of a clip; the same whatever was asked before."""
        wanted = int(self.counts[index])
        rng = np.random.default_rng((self.mix.seed, _LINE, SPLITS.index(self.split), index))
        places = sorted({each.place for each in self.part.backgrounds})
        place = places[rng.integers(len(places))]
        channels = [n for n, each in enumerate(self.part.backgrounds) if each.place == place]
        background, offset, loud = int(rng.choice(channels)), rng.random(), rng.uniform(*self.mix.background)
        sounds = self._sounds(rng, wanted + _SPARE)
        captions = tuple(int(rng.integers(len(self.part.sounds[each].captions))) for each in sounds)
        snrs = tuple(rng.uniform(*self.mix.snr) for _ in sounds)
        shares = tuple(sorted(rng.random(wanted).tolist()))
        vid = f"int{self.mix.seconds}_{self.split}_{index:05d}"
        return Line(vid, background, offset, loud, wanted, sounds, captions, snrs, shares)

    def _sounds(self, rng: np.random.Generator, count: int) -> tuple[int, ...]:
        """Draw sounds that cannot be mistaken for each other; fewer if the corpus has no more."""
        found: list[int] = []
        weights = self.part.weights
        for _ in range(_TRIES):
            if len(found) == count:
                break
            drawn = int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
            if drawn not in found and not any(self._alike(drawn, each) for each in found):
                found.append(drawn)
        return tuple(found)

    def _alike(self, one: int, other: int) -> bool:
        first, second = (set(words(self.part.sounds[each].captions[0]).split()) for each in (one, other))
        return len(first & second) >= _ALIKE * len(first | second)


@dataclass(frozen=True)
class _Event:
    sound: Sound
    caption: str
    snr: float
    wave: Wave
    start: int
    """Where in its file the wave begins, in samples."""


class Renderer:
    """Mixes clips of a split from their lines."""

    def __init__(self, mix: Mix, part: Part) -> None:
        self.mix, self.part = mix, part

    def clip(self, line: Line) -> Mixture:
        """Return the clip of a line.

        Raises:
            DataError: A file is missing or damaged, or too few of the line's sounds can be used.
        """
        rate, length = self.mix.rate, self.mix.seconds * self.mix.rate
        background = self.part.backgrounds[line.background]
        whole = _background(background.path, rate)
        bed = turned(whole, length, int(line.offset * len(whole)), rate)
        here = f"where it is the background of {line.vid} from {{:g}} to {{:g}} s"
        bed = gained(bed, line.level - level_below(bed, background.path, here.format(0, self.mix.seconds)))
        mixture, queries, told = bed.copy(), [], []
        events = self._events(line)
        for number, (event, at) in enumerate(zip(events, self._places(line, events), strict=True), start=1):
            stretch = slice(at, at + len(event.wave))
            window = outward(at / rate, stretch.stop / rate, self.mix.seconds)
            under = level_below(bed[stretch], background.path, here.format(*window))
            gain = under + event.snr - level(event.wave)
            mixture[stretch] += gained(event.wave, gain)
            queries.append(
                Query(f"{line.vid}_{number}", event.caption, line.vid, float(self.mix.seconds), (window,), {})
            )
            told.append(_told(event, window, gain, rate))
        mixture, turned_down = guarded(mixture)
        about = {"background": _source(background), "offset_share": line.offset, "gain_db": turned_down}
        return Mixture(
            line.vid,
            rate,
            mixture,
            tuple(queries),
            {"vid": line.vid, "plan": asdict(line), **about, "events": told},
        )

    def _events(self, line: Line) -> list[_Event]:
        found: list[_Event] = []
        free = self.mix.seconds - (line.wanted + 1) * self.mix.gap
        for place, caption, snr in zip(line.sounds, line.captions, line.snrs, strict=True):
            if len(found) == line.wanted:
                return found
            sound = self.part.sounds[place]
            event = self._event(sound, sound.captions[caption], snr, free)
            if event is not None:
                found.append(event)
                free -= len(event.wave) / self.mix.rate
        if len(found) < line.wanted:
            raise DataError(
                f"{line.vid}: only {len(found)} of {line.wanted} events can be placed; the "
                f"{len(line.sounds)} sounds that were drawn are too short, silent or too long together. Use "
                "more of WavCaps, or a lower 'longest'."
            )
        return found

    def _event(self, sound: Sound, caption: str, snr: float, free: float) -> _Event | None:
        rate = self.mix.rate
        wave = read_at(sound.path, rate)
        start, end = active(wave, rate)
        longest = round(min(self.mix.longest, free) * rate)
        if end - start > longest > 0:
            start += loudest(wave[start:end], longest)
            end = start + longest
        if end - start < self.mix.shortest * rate or longest <= 0:
            return None
        return _Event(sound, caption, snr, faded(wave[start:end], round(0.02 * rate)), start)

    def _places(self, line: Line, events: Sequence[_Event]) -> list[int]:
        """Return where events begin, in samples: all arrangements that keep the gaps are equally likely."""
        gap = round(self.mix.gap * self.mix.rate)
        taken = sum(len(each.wave) for each in events) + gap * (len(events) + 1)
        free = self.mix.seconds * self.mix.rate - taken
        found, before = [], gap
        for share, event in zip(line.shares, events, strict=True):
            found.append(int(share * free) + before)
            before += len(event.wave) + gap
        return found


def words(caption: str) -> str:
    """Return a caption as it is compared: small letters, without marks."""
    return " ".join(re.findall(r"[a-z0-9']+", caption.lower()))


@lru_cache(maxsize=2)
def _background(path: Path, rate: int) -> Wave:
    return read_at(path, rate)


def _source(item: Sound | Background) -> dict[str, str]:
    return {"corpus": item.corpus, "id": item.name, "file": item.path.name, "licence": item.licence}


def _told(event: _Event, window: tuple[float, float], gain: float, rate: int) -> dict[str, object]:
    seconds = [event.start / rate, (event.start + len(event.wave)) / rate]
    return {
        **_source(event.sound),
        "caption": event.caption,
        "from_seconds": seconds,
        "window": list(window),
        "snr_db": event.snr,
        "gain_db": gain,
    }
