"""The two mixed data sets by their names in protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from amrbench.content_hash import content_hash
from amrbench.data.audio import SUFFIXES
from amrbench.errors import DataError
from amrbench.files.folders import DATA_VARIABLE, data_folder
from amrbench.part import location
from amrbench.required_files import Published, RequiredFile, refuse_missing
from amrbench.slots.data import Dataset, DatasetPart, Recording, refuse_unknown_split
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

    @override
    def build(self) -> Dataset:
        return _IntermediateDataset(self)

    @override
    def required_files(self, split: str, features: FeaturesPart) -> Sequence[RequiredFile]:
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

    @override
    def build(self) -> Dataset:
        return _ClothoMomentDataset(self)

    @override
    def required_files(self, split: str, features: FeaturesPart) -> Sequence[RequiredFile]:
        return [*self.corpora(), *features.required_files()]

    def corpora(self) -> list[RequiredFile]:
        """Return both corpora."""
        return [_corpus("Clotho", self.clotho, CLOTHO), _corpus("Walking-Tours", self.tours, TOURS)]


class _IntermediateDataset(Dataset):
    """See `Intermediate300`; the corpora are read when the first clip is asked for."""

    def __init__(self, part: Intermediate300) -> None:
        self.part = part
        self.options = intermediate.MixOptions(
            seed=part.seed,
            seconds=part.seconds,
            rate=part.rate,
            clips=part.clips,
            queries=part.queries,
            snr=part.snr,
            longest=part.longest,
        )
        self._planners: dict[str, intermediate.ClipPlanner] = {}

    @override
    def splits(self) -> Sequence[str]:
        return intermediate.SPLITS

    @override
    def size(self, split: str) -> int:
        refuse_unknown_split(self.part.use, split, intermediate.SPLITS)
        return self.part.clips[intermediate.SPLITS.index(split)]

    @override
    def recording(self, split: str, index: int) -> Recording:
        planner = self._planner(split)
        return intermediate.ClipRenderer(self.options, planner.sources).clip(planner.plan(index))

    @override
    def fingerprint(self) -> str:
        hashes = [catalogue.hash_of_sources(sources) for sources in self._corpora]
        return content_hash([VERSION, asdict(self.options), hashes])

    @cached_property
    def _corpora(self) -> tuple[list[catalogue.Sound], list[catalogue.Background]]:
        demand_folder, wavcaps_folder = corpora = self.part.corpora()
        refuse_missing(f"data set {self.part.use!r}", corpora)
        excluded = catalogue.excluded_ids(self.part.exclude)
        sounds = catalogue.wavcaps_sounds(wavcaps_folder.path, self.part.subsets, excluded)
        return sounds, catalogue.demand_backgrounds(demand_folder.path, self.part.environments)

    @cached_property
    def _sources(self) -> dict[str, intermediate.SplitSources]:
        val_fraction = self.part.clips[1] / sum(self.part.clips)
        divided = intermediate.split_sources(*self._corpora, val_fraction)
        for split, sources in divided.items():
            if not sources.sounds:
                raise DataError(
                    f"{self.part.use}: WavCaps has no sound for {split}. Use more of its subsets."
                )
        return divided

    def _planner(self, split: str) -> intermediate.ClipPlanner:
        refuse_unknown_split(self.part.use, split, intermediate.SPLITS)
        if split not in self._planners:
            self._planners[split] = intermediate.ClipPlanner(self.options, split, self._sources[split])
        return self._planners[split]


class _ClothoMomentDataset(Dataset):
    """See `ClothoMoment60`; the corpora are read when the first clip is asked for."""

    def __init__(self, part: ClothoMoment60) -> None:
        self.part = part
        self._mixers: dict[str, clotho_moment.ExcerptMixer] = {}

    @override
    def splits(self) -> Sequence[str]:
        return list(clotho_moment.TOURS)

    @override
    def size(self, split: str) -> int:
        return len(self._mixer(split).excerpts)

    @override
    def recording(self, split: str, index: int) -> Recording:
        mixer = self._mixer(split)
        return mixer.clip(mixer.excerpts[index])

    @override
    def fingerprint(self) -> str:
        options = [self.part.seed, self.part.rate, self.part.step]
        splits = [self._mixer(split).sources for split in self.splits()]
        hashes = [
            [catalogue.hash_of_sources(sources.sounds), catalogue.hash_of_sources(sources.tours)]
            for sources in splits
        ]
        return content_hash([VERSION, options, hashes])

    def _mixer(self, split: str) -> clotho_moment.ExcerptMixer:
        refuse_unknown_split(self.part.use, split, clotho_moment.TOURS)
        if split not in self._mixers:
            clotho_folder, tours_folder = corpora = self.part.corpora()
            refuse_missing(f"data set {self.part.use!r}", corpora)
            sounds = catalogue.clotho_sounds(clotho_folder.path, clotho_moment.CLOTHO[split])
            tours = catalogue.tour_backgrounds(tours_folder.path, clotho_moment.TOURS[split])
            sources = clotho_moment.tour_sources(split, sounds, tours)
            self._mixers[split] = clotho_moment.ExcerptMixer(
                sources, seed=self.part.seed, rate=self.part.rate, step=self.part.step
            )
        return self._mixers[split]


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


PARTS: tuple[type[DatasetPart], ...] = (ClothoMoment60, Intermediate300)
