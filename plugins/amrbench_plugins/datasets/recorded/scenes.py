"""Recordings of a collection: takes played at the times, and with the levels, of a layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.data.audio import open_audio
from amrbench.data.resample import resample
from amrbench.errors import DataError
from amrbench.slots.data import Dataset, KnowsQueries
from amrbench.types import Query
from amrbench_plugins.datasets.corpora.sound import (
    MixedRecording,
    Wave,
    audible_range,
    background_level,
    fade_ends,
    loop_from,
)
from amrbench_plugins.datasets.layouts.laws import Laws
from amrbench_plugins.datasets.layouts.layout import Layout, lay_out
from amrbench_plugins.datasets.layouts.levels import at_level, mixed, with_changes
from amrbench_plugins.datasets.layouts.presets import LAWS
from amrbench_plugins.datasets.layouts.streams import Key, Rng, stream
from amrbench_plugins.datasets.procedural import captions
from amrbench_plugins.datasets.procedural.planning import TIGHT
from amrbench_plugins.datasets.recorded.collection import BACKGROUND, SPLITS, Collection, SoundClass

_VERSION = 1
"""Raised when the same takes give other recordings."""
_CASTING, _WORDS, _LEVEL, _BACKGROUND, _BED, _EVENT = range(1, 7)
"""Stages of the random generators."""
_PRESETS = tuple(LAWS)
"""Their order stands for their names in random seeds."""
_LEVELS = (-38.0, -28.0)
"""Of ambience and bed together, dB relative to full scale."""
_SPEECH_WEIGHT = 6.0
"""How much more often a sound is a class of speech than one of the others."""
_LONGEST = 60
"""Seconds of a take that are used, from its start."""
_CALL = 2.0
"""Seconds; shorter takes are calls and strokes, which are repeated after pauses."""
_PAUSE = 0.4
"""Longest of these pauses, seconds."""
_FADE = 0.01
"""Seconds at both ends of a take."""


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


def cast(rng: Rng, collection: Collection, layout: Layout) -> list[SoundClass]:
    """Return a class for each sound of a layout and, at the end, for its bed; no two are alike.

    Raises:
        DataError: The collection has too few classes.
    """
    classes, count = collection.classes, len(layout.sounds)
    if count >= len(classes):
        raise DataError(
            f"{collection.folder}: has {len(classes)} classes, but a recording needs {count + 1} different "
            "ones. Add classes, or choose a preset with fewer sounds."
        )
    weights = np.array([_SPEECH_WEIGHT if kind.speech else 1.0 for kind in classes])
    order = np.argsort(rng.exponential(1 / weights))  # a draw without replacement, by weights
    chosen = [classes[index] for index in order]
    if layout.bed and layout.bed.speech and (speech := [kind for kind in chosen if kind.speech]):
        chosen.remove(speech[-1])
        return [*chosen[:count], speech[-1]]
    return chosen[: count + 1]


def phrased(rng: Rng, classes: Sequence[SoundClass], split: str) -> tuple[str, bool]:
    """Return the sentence for one class or two at the same time, and whether it has a held-out phrase."""
    phrases = []
    for kind in classes:
        choices = kind.phrases if split == "test" else kind.known_phrases
        phrases.append(choices[int(rng.integers(len(choices)))])
    unseen = any(phrase not in kind.known_phrases for phrase, kind in zip(phrases, classes, strict=True))
    text = phrases[0] if len(phrases) == 1 else captions.meanwhile(rng, *phrases)
    return captions.finish(rng, text), unseen


@dataclass(frozen=True)
class Scene:
    """What a recording is made of.

    Attributes:
        vid: Its id.
        key: Seed of its random generators.
        split: Of its takes.
        layout: When its sounds sound, and how loudly.
        classes: Of the sounds of the layout, and of its bed at the end.
        queries: With their windows.
    """

    vid: str
    key: Key
    split: str
    layout: Layout
    classes: list[SoundClass]
    queries: tuple[Query, ...]


def plan(collection: Collection, options: Options, split: str, number: int) -> Scene:
    """Return the plan of a recording; the same whatever was asked before."""
    of_split = options.seed, _PRESETS.index(options.preset), SPLITS.index(split)
    key, vid = (*of_split, number), f"recorded_{options.preset}_{split}_{number:04d}"
    layout = lay_out(options.laws, split, number, of_split)
    classes = cast(stream(key, _CASTING), collection, layout)
    rng, queries = stream(key, _WORDS), []
    for index, request in enumerate(layout.requests):
        text, unseen = phrased(rng, [classes[sound] for sound in request.sounds], split)
        extra = {
            "kind": "while" if len(request.sounds) > 1 else "single",
            "unseen_phrase": unseen,
            "tight": any(end - start <= TIGHT for start, end in request.windows),
        }
        queries.append(Query(f"{vid}_{index}", text, vid, layout.seconds, request.windows, extra))
    return Scene(vid, key, split, layout, classes, tuple(queries))


class SceneMixer:
    """Mixes a recording and lists what it was mixed from."""

    def __init__(self, collection: Collection, options: Options, scene: Scene) -> None:
        self._collection, self._options, self._scene = collection, options, scene
        self._rows: list[dict[str, object]] = []

    def recording(self) -> MixedRecording:
        """Return the recording.

        Raises:
            DataError: A take is damaged or silent.
        """
        scene, rate = self._scene, self._options.rate
        level = float(stream(scene.key, _LEVEL).uniform(*_LEVELS))
        background = at_level(self._background(), level)
        events = []
        for number, event in enumerate(scene.layout.events):
            rng, kind = stream(scene.key, _EVENT, number), scene.classes[event.sound]
            wave = self._played(rng, kind, event.start, event.end)
            wave = with_changes(rng, wave, self._options.laws.levels.changes, rate=rate)
            events.append((round(event.start * rate), at_level(wave, level + event.snr)))
        provenance = {"vid": scene.vid, "level_db": level, "sounds": self._rows}
        return MixedRecording(scene.vid, rate, mixed(background, events), scene.queries, provenance)

    def _background(self) -> Wave:
        """Return the ambience and the bed."""
        layout, rate = self._scene.layout, self._options.rate
        takes = self._collection.background.of(self._scene.split)
        rng = stream(self._scene.key, _BACKGROUND)
        path = takes[int(rng.integers(len(takes)))]
        take = read_take(path, rate)
        wave = loop_from(take, int(rng.integers(len(take))), round(layout.seconds * rate), fade=rate // 2)
        background_level(wave, path, "where it is a background")
        self._note(BACKGROUND, [path], 0.0, layout.seconds)
        wave = at_level(wave, 0.0)
        if layout.bed:
            bed = self._played(stream(self._scene.key, _BED), self._scene.classes[-1], 0.0, layout.seconds)
            wave = wave + at_level(bed, layout.bed.level)
        return wave

    def _played(self, rng: Rng, kind: SoundClass, start: float, end: float) -> Wave:
        rate = self._options.rate
        samples = max(1, round((end - start) * rate))
        wave, used = played(rng, kind.takes.of(self._scene.split), samples, rate=rate)
        self._note(kind.name, used, start, end)
        return wave

    def _note(self, name: str, used: Sequence[Path], start: float, end: float) -> None:
        files = [path.relative_to(self._collection.folder).as_posix() for path in used]
        self._rows.append({"class": name, "files": files, "seconds": [start, end]})


class RecordedDataset(Dataset, KnowsQueries):
    """Recordings of a collection, which is listed when the first one is asked for."""

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
        scene = plan(self._collection, self._options, split, index)
        return SceneMixer(self._collection, self._options, scene).recording()

    @override
    def queries(self, split: str, index: int) -> Sequence[Query]:
        return plan(self._collection, self._options, split, index).queries

    @override
    def fingerprint(self) -> str:
        options = self._options
        laws, takes = asdict(options.laws), self._collection.fingerprint()
        return content_hash([_VERSION, options.preset, options.seed, options.rate, laws, takes])

    @cached_property
    def _collection(self) -> Collection:
        return self._read()
