"""The two mixed data sets by their names in protocols."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from amrbench.data.audio import SUFFIXES
from amrbench.errors import DataError, did_you_mean
from amrbench.files.folders import DATA_VARIABLE, data_folder
from amrbench.part import location
from amrbench.required_files import Published, RequiredFile, refuse_missing
from amrbench.slots.data import Dataset, DatasetPart, Recording
from amrbench.slots.features import FeaturesPart
from amrbench_plugins.datasets.corpora import catalogue, clotho_moment, intermediate

VERSION = 1
"""Raised when the same corpora give other clips."""
Subset = Literal["AudioSet_SL", "BBC_Sound_Effects", "SoundBible"]
Pair = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]

DEMAND = Published("Zenodo 1227121", "about 9 GB for 18 environments")
WAVCAPS = Published("cvssp/WavCaps on Hugging Face", "some 100 GB for the three subsets")
CLOTHO = Published("Zenodo 4783391 (Clotho v2.1)", "about 9 GB")
TOURS = Published("the ten videos that shashankvkt/DoRA_ICLR24 on GitHub lists")


class Intermediate300(DatasetPart):
    """The report's set of 5-minute clips (Table 1), mixed from local copies of DEMAND and WavCaps.

    5000 clips with 14,385 queries to train, 500 with 1,414 to select on; one to five sounds a clip.
    """

    use = "intermediate300"
    seed: int = Field(0, ge=0, description="another seed, another set")
    clips: Pair = Field((5000, 500), description="of train and val")
    queries: Pair = Field((14_385, 1_414), description="of train and val, in all")
    seconds: int = Field(300, ge=10, description="length of a clip")
    rate: int = Field(32_000, ge=8_000, description="samples a second")
    snr: tuple[float, float] = Field((0.0, 15.0), description="dB of a sound over the background around it")
    longest: float = Field(40.0, gt=0, description="seconds of a sound at most")
    environments: tuple[str, ...] = Field(
        ("NFIELD", "NPARK", "NRIVER", "OHALLWAY", "DLIVING", "TCAR"),
        min_length=1,
        description="of DEMAND; which six the report used is not stated",
    )
    subsets: tuple[Subset, ...] = Field(
        ("AudioSet_SL", "BBC_Sound_Effects", "SoundBible"), min_length=1, description="of WavCaps"
    )
    exclude: tuple[str, ...] = Field((), description="files with ids of WavCaps that must not be used")
    demand: str = location(f"folder of DEMAND; by default the one of its name in ${DATA_VARIABLE}")
    wavcaps: str = location(f"folder of WavCaps; by default the one of its name in ${DATA_VARIABLE}")

    def build(self) -> Dataset:
        """Return the data set; corpora are looked at when the first clip is asked for."""
        return _Intermediate(self)

    def required_files(self, split: str, features: FeaturesPart) -> Sequence[RequiredFile]:
        """Return both corpora, and what the encoder needs."""
        return [*self.corpora(), *features.required_files()]

    def corpora(self) -> list[RequiredFile]:
        """Return both corpora."""
        return [_corpus("DEMAND", self.demand, DEMAND), _corpus("WavCaps", self.wavcaps, WAVCAPS)]


class ClothoMoment60(DatasetPart):
    """One-minute clips in the manner of Clotho-Moment, from local copies of Clotho and Walking Tours."""

    use = "clotho-moment60"
    seed: int = Field(0, ge=0, description="another seed, another set")
    rate: int = Field(32_000, ge=8_000, description="samples a second")
    step: int = Field(1, ge=1, description="seconds of a tour between the starts of two windows")
    clotho: str = location(f"folder of Clotho; by default the one of its name in ${DATA_VARIABLE}")
    tours: str = location(f"folder of Walking Tours; by default the one of its name in ${DATA_VARIABLE}")

    def build(self) -> Dataset:
        """Return the data set; corpora are looked at when the first clip is asked for."""
        return _ClothoMoment(self)

    def required_files(self, split: str, features: FeaturesPart) -> Sequence[RequiredFile]:
        """Return both corpora, and what the encoder needs."""
        return [*self.corpora(), *features.required_files()]

    def corpora(self) -> list[RequiredFile]:
        """Return both corpora."""
        return [_corpus("Clotho", self.clotho, CLOTHO), _corpus("Walking-Tours", self.tours, TOURS)]


class _Intermediate:
    """See `Intermediate300`."""

    def __init__(self, part: Intermediate300) -> None:
        self.part = part
        self.mix = intermediate.Mix(
            seed=part.seed,
            seconds=part.seconds,
            rate=part.rate,
            clips=part.clips,
            queries=part.queries,
            snr=part.snr,
            longest=part.longest,
        )

    def splits(self) -> Sequence[str]:
        return intermediate.SPLITS

    def size(self, split: str) -> int:
        return self.part.clips[_known(split, intermediate.SPLITS, self.part)]

    def recording(self, split: str, index: int) -> Recording:
        planner = self._planner(split)
        return intermediate.Renderer(self.mix, planner.part).clip(planner.line(index))

    def fingerprint(self) -> str:
        sounds, backgrounds = self._corpora
        return _hash(VERSION, self.mix, catalogue.listing(sounds), catalogue.listing(backgrounds))

    @cached_property
    def _corpora(self) -> tuple[list[catalogue.Sound], list[catalogue.Background]]:
        corpora = self.part.corpora()
        refuse_missing(f"data set {self.part.use!r}", corpora)
        excluded = catalogue.excluded_ids(self.part.exclude)
        sounds = catalogue.wavcaps(corpora[1].path, self.part.subsets, excluded)
        return sounds, catalogue.demand(corpora[0].path, self.part.environments)

    @cached_property
    def _parts(self) -> dict[str, intermediate.Part]:
        share = self.part.clips[1] / sum(self.part.clips)
        found = intermediate.parted(*self._corpora, share)
        for split, part in found.items():
            if not part.sounds:
                raise DataError(
                    f"{self.part.use}: WavCaps has no sound for {split}. Use more of its subsets."
                )
        return found

    def _planner(self, split: str) -> intermediate.Planner:
        _known(split, intermediate.SPLITS, self.part)
        if split not in self._planners:
            self._planners[split] = intermediate.Planner(self.mix, split, self._parts[split])
        return self._planners[split]

    @cached_property
    def _planners(self) -> dict[str, intermediate.Planner]:
        return {}


class _ClothoMoment:
    """See `ClothoMoment60`."""

    def __init__(self, part: ClothoMoment60) -> None:
        self.part = part

    def splits(self) -> Sequence[str]:
        return list(clotho_moment.TOURS)

    def size(self, split: str) -> int:
        return len(self._mixer(split).places)

    def recording(self, split: str, index: int) -> Recording:
        mixer = self._mixer(split)
        return mixer.clip(mixer.places[index])

    def fingerprint(self) -> str:
        options = (self.part.seed, self.part.rate, self.part.step)
        parts = [self._mixer(split).part for split in self.splits()]
        listings = [(catalogue.listing(each.sounds), catalogue.listing(each.tours)) for each in parts]
        return _hash(VERSION, options, listings)

    def _mixer(self, split: str) -> clotho_moment.Mixer:
        _known(split, list(clotho_moment.TOURS), self.part)
        if split not in self._mixers:
            self._mixers[split] = self._opened(split)
        return self._mixers[split]

    def _opened(self, split: str) -> clotho_moment.Mixer:
        corpora = self.part.corpora()
        refuse_missing(f"data set {self.part.use!r}", corpora)
        sounds = catalogue.clotho(corpora[0].path, clotho_moment.CLOTHO[split])
        tours = catalogue.tours(corpora[1].path, clotho_moment.TOURS[split])
        part = clotho_moment.part_of(split, sounds, tours)
        return clotho_moment.Mixer(part, seed=self.part.seed, rate=self.part.rate, step=self.part.step)

    @cached_property
    def _mixers(self) -> dict[str, clotho_moment.Mixer]:
        return {}


def _corpus(name: str, chosen: str, published: Published) -> RequiredFile:
    path = Path(chosen).expanduser() if chosen else data_folder() / name.lower()
    return RequiredFile(
        what=f"corpus {name}",
        path=path,
        present=any(file.suffix.lower() in SUFFIXES for file in path.rglob("*")),
        published=published,
        remedy=f"Put a copy there (${DATA_VARIABLE} chooses the folder of data), or name its folder in the "
        "protocol.",
    )


def _known(split: str, splits: Sequence[str], part: DatasetPart) -> int:
    if split not in splits:
        raise DataError(
            f"data set {part.use!r} has no split {split!r}.{did_you_mean(split, splits)} "
            f"Splits: {', '.join(splits)}."
        )
    return list(splits).index(split)


def _hash(*content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:24]


PARTS: tuple[type[DatasetPart], ...] = (ClothoMoment60, Intermediate300)
