"""One-minute clips in the manner of Clotho-Moment (Munakata et al. 2025), from Clotho and Walking Tours.

What the paper says, and what the released annotations show: a clip begins at each second of a tour. Each clip
is filled independently with Clotho recordings, after gaps with exponentially distributed lengths of 30 s on
average; clips without any are left out. Widths are whole seconds, onsets are multiples of 0.1 s, and
foregrounds are -5 to 5 dB over backgrounds, which all have the same power. The random numbers are not those
of the authors, so this is another set of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.data.audio import open_audio
from amrbench.data.resample import resample
from amrbench.errors import DataError
from amrbench.slots.data import Dataset
from amrbench.types import Query
from amrbench_plugins.datasets.corpora import catalogue
from amrbench_plugins.datasets.corpora.catalogue import Background, Sound, hash_of_sources
from amrbench_plugins.datasets.corpora.sound import (
    MixedRecording,
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
_VERSION = 1
"""Raised when the same corpora give other clips."""
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


def list_sources(split: str, clotho: Path, tours: Path) -> TourSources:
    """Return the sources of a split in the folders of the corpora; only the headers of the files are read.

    Raises:
        DataError: A file is missing or damaged, or a tour is shorter than a clip.
    """
    sounds = catalogue.clotho_sounds(clotho, CLOTHO[split])
    backgrounds = catalogue.tour_backgrounds(tours, TOURS[split])
    lengths = tuple(min(_LONGEST, int(open_audio(sound.path).seconds)) for sound in sounds)
    seconds = tuple(int(open_audio(tour.path).seconds) for tour in backgrounds)
    for tour, length in zip(backgrounds, seconds, strict=True):
        if length < SECONDS:
            raise DataError(
                f"{tour.path}: has {length} s, less than a clip of {SECONDS} s. Put the whole tour there."
            )
    return TourSources(split, tuple(sounds), lengths, tuple(backgrounds), seconds)


class ExcerptMixer:
    """Mixes the clips of a split."""

    def __init__(self, sources: TourSources, *, seed: int, rate: int) -> None:
        self.sources, self.seed, self.rate = sources, seed, rate

    @cached_property
    def excerpts(self) -> list[TourExcerpt]:
        """Return the excerpts in which the first sound fits, tour by tour."""
        excerpts = []
        for tour, seconds in enumerate(self.sources.seconds):
            for start in range(seconds - SECONDS + 1):
                excerpt = TourExcerpt(tour, start)
                gap, index, _, _ = next(self._draws(excerpt))
                # Cutting silence only shortens a sound, so one that fits by its header fits.
                length = self.sources.lengths[index]
                if length >= 1 and gap + length <= SECONDS:
                    excerpts.append(excerpt)
        return excerpts

    def clip(self, excerpt: TourExcerpt) -> MixedRecording:
        """Return an excerpt with sounds, drawn one after the other until the next would not end in the clip.

        It is the same whatever was asked before.

        Raises:
            DataError: A file is missing or damaged, or the background is silent.
        """
        tour, begin, stop = self.sources.tours[excerpt.tour], excerpt.start, excerpt.start + SECONDS
        vid = f"{tour.name}_{begin}.0_{stop}.0"
        file = open_audio(tour.path)
        piece = resample(file.read(begin * file.rate, stop * file.rate), file.rate, self.rate)
        piece = piece[: SECONDS * self.rate]
        mixture = amplify(piece, _LEVEL - background_level(piece, tour.path, f"from {begin} to {stop} s"))
        queries, rows, start = list[Query](), list[dict[str, object]](), 0.0
        for gap, index, caption, fg_db in islice(self._draws(excerpt), _TRIES):
            sound = self.sources.sounds[index]
            wave = self._foreground(sound)
            start = round(start + gap, 1)
            end = start + len(wave) // self.rate
            if end > SECONDS:
                break
            if len(wave):
                first = round(start * self.rate)
                mixture[first : first + len(wave)] += amplify(wave, _LEVEL + fg_db - level(wave))
                qid = f"{vid}_{len(queries) + 1}"
                queries.append(Query(qid, caption, vid, float(SECONDS), ((start, end),), {"fg_dB": fg_db}))
                rows.append(sound.as_row() | {"caption": caption, "window": [start, end], "fg_db": fg_db})
                start = end
        mixture, gain = limit_peak(mixture)
        background = tour.as_row() | {"from_seconds": [begin, stop]}
        provenance = {"vid": vid, "gain_db": gain, "events": rows, "background": background}
        return MixedRecording(vid, self.rate, mixture, tuple(queries), provenance)

    def _draws(self, excerpt: TourExcerpt) -> Iterator[tuple[float, int, str, float]]:
        """Yield gap in seconds, index of the sound, its caption, and dB over the background, without end."""
        split = list(TOURS).index(self.sources.split)
        rng = np.random.default_rng((self.seed, split, excerpt.tour, excerpt.start))
        while True:
            # The order of these draws determines the data set.
            gap, index = round(float(rng.exponential(GAP)), 1), int(rng.integers(len(self.sources.sounds)))
            captions = self.sources.sounds[index].captions
            caption = captions[int(rng.integers(1 << 30)) % len(captions)]
            yield gap, index, caption, float(rng.uniform(-5, 5))

    def _foreground(self, sound: Sound) -> Wave:
        """Return the whole seconds of a sound without the silence at its ends, at most 30."""
        wave = read_audio(sound.path, self.rate)
        start, end = audible_range(wave, self.rate)
        length = min((end - start) // self.rate, _LONGEST) * self.rate
        return fade_ends(wave[start : start + length], round(_FADE * self.rate))


class ClothoMomentDataset(Dataset):
    """The clips of all splits; the files of a split are listed when its first clip is asked for."""

    def __init__(self, corpus_folders: Callable[[], Sequence[Path]], *, seed: int, rate: int) -> None:
        """Set up the data set.

        Args:
            corpus_folders: Returns the folders of Clotho and Walking Tours, or raises DataError.
            seed: Another seed, another set.
            rate: Samples a second.
        """
        self.seed, self.rate = seed, rate
        self._mixer = cache(
            lambda split: ExcerptMixer(list_sources(split, *corpus_folders()), seed=seed, rate=rate)
        )

    @override
    def splits(self) -> Sequence[str]:
        return list(TOURS)

    @override
    def size(self, split: str) -> int:
        return len(self._mixer(split).excerpts)

    @override
    def recording(self, split: str, index: int) -> MixedRecording:
        mixer = self._mixer(split)
        return mixer.clip(mixer.excerpts[index])

    @override
    def fingerprint(self) -> str:
        sources = [self._mixer(split).sources for split in TOURS]
        hashes = [[hash_of_sources(split.sounds), hash_of_sources(split.tours)] for split in sources]
        return content_hash([_VERSION, self.seed, self.rate, hashes])
