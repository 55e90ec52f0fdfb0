"""Recordings of a collection: takes played at the times, and with the levels, of a layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.data.audio import open_audio
from amrbench.data.resample import resample
from amrbench.errors import DataError
from amrbench.slots.data import Dataset
from amrbench.types import Query, Window
from amrbench_plugins.datasets.corpora.sound import (
    MixedRecording,
    Wave,
    audible_range,
    background_level,
    fade_ends,
    loop_from,
)
from amrbench_plugins.datasets.layouts.laws import Laws
from amrbench_plugins.datasets.layouts.layout import BedLevel, Event, Layout, Request, lay_out
from amrbench_plugins.datasets.layouts.levels import at_level, mixed, with_changes
from amrbench_plugins.datasets.layouts.presets import LAWS
from amrbench_plugins.datasets.layouts.streams import Key, Rng, stream
from amrbench_plugins.datasets.procedural import captions
from amrbench_plugins.datasets.recorded.collection import SPLITS, Collection, SoundClass

_VERSION = 1
"""Raised when the same takes give other recordings."""
_CASTING, _WORDS, _BACKGROUND, _BED, _EVENT = range(1, 6)
"""Stages of the random generators."""
_PRESETS = tuple(LAWS)
"""Their order stands for their names in random seeds."""
_LEVEL = (-38.0, -28.0)
"""Of backgrounds, dB relative to full scale."""
_LONGEST = 60
"""Seconds of a take that are used, from its start."""
_CALL = 2.0
"""Seconds; shorter takes are calls and strokes, which are repeated after pauses."""
_PAUSE = 0.4
"""Longest of these pauses, seconds."""
_FADE = 0.01
"""Seconds at both ends of a take."""
_TIGHT = 4.0
"""Longest tight window in seconds."""


@dataclass(frozen=True)
class Options:
    """What can be chosen about a data set.

    Attributes:
        preset: Its laws.
        seed: Another seed, another set.
        rate: Samples a second.
        sizes: Recordings of train, val and test.
    """

    preset: str
    seed: int
    rate: int
    sizes: tuple[int, int, int]

    @property
    def laws(self) -> Laws:
        """Return the laws of the preset."""
        return LAWS[self.preset]

    def key(self, split: str) -> Key:
        """Return what names a split in random seeds."""
        return self.seed, _PRESETS.index(self.preset), SPLITS.index(split)


@lru_cache(maxsize=32)
def read_take(path: Path, rate: int) -> Wave:
    """Return the first minute of a take, without the silence at its ends.

    Raises:
        DataError: The file is damaged or silent.
    """
    file = open_audio(path)
    wave = resample(file.read(0, _LONGEST * file.rate), file.rate, rate)
    first, end = audible_range(wave, rate)
    if first == end:
        raise DataError(f"{path}: nothing is audible in the first {_LONGEST} s. Move it away.")
    return wave[first:end]


def played(rng: Rng, takes: Sequence[Path], samples: int, *, rate: int) -> tuple[Wave, list[Path]]:
    """Return a sound of some length, and the takes that it is made of.

    Takes follow one another, in random order, until the time is full. A take that is longer than the whole
    sound is cut from anywhere, another one where the sound ends.
    """
    wave, used, first = np.zeros(samples, np.float32), list[Path](), 0
    while first < samples:
        path = takes[int(rng.integers(len(takes)))]
        take = read_take(path, rate)
        offset = int(rng.integers(max(0, len(take) - samples) + 1))
        piece = fade_ends(take[offset : offset + samples - first], round(_FADE * rate))
        wave[first : first + len(piece)] = piece
        used.append(path)
        first += len(piece)
        if len(take) < _CALL * rate:
            first += round(rng.uniform(0, _PAUSE) * rate)
    return wave, list(dict.fromkeys(used))


def cast(rng: Rng, collection: Collection, layout: Layout) -> tuple[list[SoundClass], SoundClass]:
    """Return the class of each sound of a layout, no two alike, and another one to lie under them.

    The latter is speech if the layout wants that and such a class is left.

    Raises:
        DataError: The collection has too few classes.
    """
    count = len(layout.sounds)
    if count >= len(collection.classes):
        raise DataError(
            f"{collection.folder}: has {len(collection.classes)} classes, but a recording needs {count + 1} "
            "different ones. Add classes, or choose a preset with fewer sounds."
        )
    order = [collection.classes[index] for index in rng.permutation(len(collection.classes))]
    rest = order[count:]
    speaks = layout.bed is not None and layout.bed.speech
    return order[:count], next((each for each in rest if each.speech == speaks), rest[0])


def phrased(rng: Rng, classes: Sequence[SoundClass], split: str) -> tuple[str, bool]:
    """Return the sentence for one class or two at the same time, and whether it has a held-out phrase."""
    phrases = []
    for each in classes:
        choices = each.phrases if split == "test" else each.known_phrases
        phrases.append(choices[int(rng.integers(len(choices)))])
    unseen = any(phrase not in each.known_phrases for phrase, each in zip(phrases, classes, strict=True))
    text = phrases[0] if len(phrases) == 1 else captions.meanwhile(rng, *phrases)
    return captions.finish(rng, text), unseen


class SceneMixer:
    """Mixes the recordings of a split."""

    def __init__(self, collection: Collection, options: Options, split: str) -> None:
        self._collection, self._options, self._split = collection, options, split
        self._key = options.key(split)

    def recording(self, number: int) -> MixedRecording:
        """Return a recording; the same whatever was asked before.

        Raises:
            DataError: A take is damaged or silent, or there are too few classes.
        """
        options, rate = self._options, self._options.rate
        layout = lay_out(options.laws, self._split, number, self._key)
        classes, under = cast(stream(self._key, _CASTING, number), self._collection, layout)
        vid = f"recorded_{options.preset}_{self._split}_{number:04d}"
        background, level, rows = self._background(number, round(layout.seconds * rate))
        events = []
        if layout.bed is not None:
            wave, row = self._bed(number, layout.bed, under, len(background), level)
            events.append((0, wave))
            rows.append(row)
        for index, event in enumerate(layout.events):
            wave, row = self._event((number, index), event, classes[event.sound], level)
            events.append((round(event.start * rate), wave))
            rows.append(row)
        rng = stream(self._key, _WORDS, number)
        queries = tuple(
            self._query(rng, f"{vid}_{index}", vid, layout.seconds, request, classes)
            for index, request in enumerate(layout.requests)
        )
        return MixedRecording(vid, rate, mixed(background, events), queries, {"vid": vid, "sounds": rows})

    def _background(self, number: int, samples: int) -> tuple[Wave, float, list[dict[str, object]]]:
        rng, rate = stream(self._key, _BACKGROUND, number), self._options.rate
        takes = self._collection.background.of(self._split)
        path = takes[int(rng.integers(len(takes)))]
        take, level = read_take(path, rate), float(rng.uniform(*_LEVEL))
        wave = loop_from(take, int(rng.integers(len(take))), samples, fade=rate // 2)
        background_level(wave, path, "as a background")
        row = self._row("background", [path], (0.0, samples / rate), level)
        return at_level(wave, level), level, [row]

    def _bed(
        self, number: int, bed: BedLevel, kind: SoundClass, samples: int, level: float
    ) -> tuple[Wave, dict[str, object]]:
        rate = self._options.rate
        wave, used = played(stream(self._key, _BED, number), kind.takes.of(self._split), samples, rate=rate)
        row = self._row(kind.name, used, (0.0, samples / rate), level + bed.level)
        return at_level(wave, level + bed.level), row

    def _event(
        self, stage: tuple[int, int], event: Event, kind: SoundClass, level: float
    ) -> tuple[Wave, dict[str, object]]:
        rng, rate = stream(self._key, _EVENT, *stage), self._options.rate
        samples = max(1, round(event.seconds * rate))
        wave, used = played(rng, kind.takes.of(self._split), samples, rate=rate)
        wave = with_changes(rng, wave, self._options.laws.levels.changes, rate=rate)
        row = self._row(kind.name, used, (event.start, event.end), level + event.snr)
        return at_level(wave, level + event.snr), row

    def _row(self, name: str, used: Sequence[Path], times: Window, level: float) -> dict[str, object]:
        files = [path.relative_to(self._collection.folder).as_posix() for path in used]
        return {"class": name, "files": files, "seconds": list(times), "level_db": level}

    def _query(
        self, rng: Rng, qid: str, vid: str, seconds: float, request: Request, classes: Sequence[SoundClass]
    ) -> Query:
        text, unseen = phrased(rng, [classes[sound] for sound in request.sounds], self._split)
        extra = {
            "kind": "single" if len(request.sounds) == 1 else "while",
            "unseen_phrase": unseen,
            "tight": any(end - start <= _TIGHT for start, end in request.windows),
        }
        return Query(qid, text, vid, seconds, request.windows, extra)


class RecordedDataset(Dataset):
    """Recordings of a collection, which is read when the first one is asked for."""

    def __init__(self, read: Callable[[], Collection], options: Options) -> None:
        self._read, self._options = read, options

    @override
    def splits(self) -> Sequence[str]:
        return SPLITS

    @override
    def size(self, split: str) -> int:
        return self._options.sizes[SPLITS.index(split)]

    @override
    def recording(self, split: str, index: int) -> MixedRecording:
        return SceneMixer(self._collection, self._options, split).recording(index)

    @override
    def fingerprint(self) -> str:
        options = self._options
        laws = repr(options.laws)  # They are not plain values, but their text says all of them.
        takes = self._collection.fingerprint()
        return content_hash([_VERSION, options.preset, options.seed, options.rate, laws, takes])

    @cached_property
    def _collection(self) -> Collection:
        return self._read()
