"""Data sets by their names in protocols."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field
from typing_extensions import override

from amrbench.data.audio import SUFFIXES
from amrbench.data.local_dataset import DatasetFolder, LocalDataset, PublishedSplit
from amrbench.files.folder_files import has_file
from amrbench.files.folders import DATA_VARIABLE, data_folder, path_of
from amrbench.part import location, unique
from amrbench.required_files import Published, RequiredFile, refuse_missing
from amrbench.slots.data import Dataset, DatasetPart
from amrbench_plugins.datasets import published
from amrbench_plugins.datasets.procedural.presets import PRESETS

if TYPE_CHECKING:
    from amrbench.slots.features import FeaturesPart
    from amrbench_plugins.datasets.corpora.catalogue import Background, Sound

OWN_FILES = Published("no public place: they are your own")
DEMAND = Published("Zenodo 1227121", "about 9 GB for 18 environments")
WAVCAPS = Published("cvssp/WavCaps on Hugging Face", "some 100 GB for the three subsets")
CLOTHO = Published("Zenodo 4783391 (Clotho v2.1)", "about 9 GB")
TAKES = Published("packages of Debian, which docs/recorded.md names")
TOURS = Published("the ten videos that shashankvkt/DoRA_ICLR24 on GitHub lists")

Subset = Literal["AudioSet_SL", "BBC_Sound_Effects", "SoundBible"]
LARGEST_SEED = 2**32 - 1
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Pair = tuple[Count, Count]


class LocalDatasetPart(DatasetPart):
    """A data set whose files people provide in a folder."""

    @property
    @abstractmethod
    def dataset_folder(self) -> DatasetFolder:
        """Return the folder."""

    @override
    def build(self) -> Dataset:
        return LocalDataset(self.dataset_folder)

    @override
    def required_files(self, split: str, features: FeaturesPart) -> Sequence[RequiredFile]:
        return self.dataset_folder.required_files(split, features)


class PublishedDatasetPart(LocalDatasetPart):
    """A published data set."""

    known: ClassVar[published.PublishedDataset]
    folder: str = location(f"folder of the data set; by default the one of its name in ${DATA_VARIABLE}")

    @property
    @override
    def dataset_folder(self) -> DatasetFolder:
        root = path_of(self.folder) if self.folder else data_folder() / self.use
        known = self.known
        return DatasetFolder(self.use, root, known.splits, known.features, known.audio)


class Castella(PublishedDatasetPart):
    """CASTELLA: 1,620 recordings of one to five minutes with 3,881 queries (Munakata et al. 2025)."""

    use = "castella"
    known = published.CASTELLA


class ClothoMoment(PublishedDatasetPart):
    """Clotho-Moment: 60-second mixtures with 44,261 queries of one window each (Munakata et al. 2025)."""

    use = "clotho-moment"
    known = published.CLOTHO_MOMENT


class Unav100(PublishedDatasetPart):
    """The subset of UnAV-100 that Lighthouse annotated: 77 recordings, 100 queries, a test split only."""

    use = "unav100-subset"
    known = published.UNAV100


class Tut2017(PublishedDatasetPart):
    """TUT Sound Events 2017 as queries: 32 recordings, 104 queries of six texts, a test split only."""

    use = "tut2017"
    known = published.TUT2017


class Dcase2026Evaluation(PublishedDatasetPart):
    """The evaluation set of DCASE 2026 Task 6: 100 recordings, 177 queries; its answers are not public."""

    use = "dcase2026-evaluation"
    known = published.DCASE2026


class Files(LocalDatasetPart):
    """A data set of one's own: a folder with train.jsonl, val.jsonl and test.jsonl, and features or audio."""

    use = "files"
    example: ClassVar[Mapping[str, Any]] = {"folder": "somewhere"}
    folder: str = location("folder of the data set; ~ is the user's own", ..., min_length=1)

    @property
    @override
    def dataset_folder(self) -> DatasetFolder:
        splits = {split: PublishedSplit(f"{split}.jsonl", OWN_FILES) for split in ("train", "val", "test")}
        return DatasetFolder(self.folder, path_of(self.folder), splits, audio=OWN_FILES)


class Procedural(DatasetPart):
    """Scenes of synthetic sounds, made on this machine and the same everywhere for the same seed.

    scenes: the geometry of CASTELLA, to be scored on. scenes-small: the same laws, milder, in recordings of
    about a minute. short: one-minute clips with long single sounds, to pre-train on. long: two-minute clips.
    """

    use = "procedural"
    preset: Literal["short", "long", "scenes", "scenes-small"] = Field("scenes", description="kind of clips")
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="another seed, another world")

    @override
    def build(self) -> Dataset:
        from amrbench_plugins.datasets.procedural.scenes import ProceduralDataset

        return ProceduralDataset(PRESETS[self.preset], self.seed)


class MixedDatasetPart(DatasetPart):
    """A data set that is mixed from local copies of corpora."""

    @abstractmethod
    def corpora(self) -> list[RequiredFile]:
        """Return the corpora."""

    @override
    def required_files(self, split: str, features: FeaturesPart) -> Sequence[RequiredFile]:
        return [*self.corpora(), *features.required_files()]

    def corpus_folders(self) -> list[Path]:
        """Return the folders of the corpora, or raise DataError if one has no audio."""
        corpora = self.corpora()
        refuse_missing(f"data set {self.use!r}", corpora)
        return [corpus.path for corpus in corpora]


class Intermediate300(MixedDatasetPart):
    """The report's set of 5-minute clips (Table 1), mixed from local copies of DEMAND and WavCaps.

    5000 clips with 14,385 queries to train, 500 with 1,414 to select on; one to five sounds a clip.
    """

    use = "intermediate300"
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="another seed, another set")
    clips: Pair = Field((5000, 500), description="of train and val")
    queries: Pair = Field((14_385, 1_414), description="of train and val, in all")
    seconds: int = Field(300, ge=10, le=3600, description="length of a clip")
    rate: int = Field(32_000, ge=8_000, le=192_000, description="samples a second")
    environments: Annotated[tuple[str, ...], AfterValidator(unique)] = Field(
        ("NFIELD", "NPARK", "NRIVER", "OHALLWAY", "DLIVING", "TCAR"),
        min_length=2,
        description="of DEMAND, the last for val alone; which six the report used is not stated",
    )
    subsets: tuple[Subset, ...] = Field(
        ("AudioSet_SL", "BBC_Sound_Effects", "SoundBible"), min_length=1, description="of WavCaps"
    )
    exclude: tuple[str, ...] = location("files with ids of WavCaps that must not be used", ())
    demand: str = location(f"folder of DEMAND; by default the one of its name in ${DATA_VARIABLE}")
    wavcaps: str = location(f"folder of WavCaps; by default the one of its name in ${DATA_VARIABLE}")

    @override
    def build(self) -> Dataset:
        from amrbench_plugins.datasets.corpora.intermediate import IntermediateDataset, MixOptions

        options = MixOptions(self.seed, self.seconds, self.rate, self.clips, self.queries)
        return IntermediateDataset(options, self._list_sources)

    @override
    def corpora(self) -> list[RequiredFile]:
        return [_corpus("DEMAND", self.demand, DEMAND), _corpus("WavCaps", self.wavcaps, WAVCAPS)]

    def _list_sources(self) -> tuple[list[Sound], list[Background]]:
        from amrbench_plugins.datasets.corpora import catalogue

        demand, wavcaps = self.corpus_folders()
        sounds = catalogue.wavcaps_sounds(wavcaps, self.subsets, catalogue.excluded_ids(self.exclude))
        return sounds, catalogue.demand_backgrounds(demand, self.environments)


class ClothoMoment60(MixedDatasetPart):
    """One-minute clips in the manner of Clotho-Moment, from local copies of Clotho and Walking Tours."""

    use = "clotho-moment60"
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="another seed, another set")
    rate: int = Field(32_000, ge=8_000, le=192_000, description="samples a second")
    clotho: str = location(f"folder of Clotho; by default the one of its name in ${DATA_VARIABLE}")
    tours: str = location(f"folder of Walking Tours; by default the one of its name in ${DATA_VARIABLE}")

    @override
    def build(self) -> Dataset:
        from amrbench_plugins.datasets.corpora.clotho_moment import ClothoMomentDataset

        return ClothoMomentDataset(self.corpus_folders, seed=self.seed, rate=self.rate)

    @override
    def corpora(self) -> list[RequiredFile]:
        return [_corpus("Clotho", self.clotho, CLOTHO), _corpus("Walking-Tours", self.tours, TOURS)]


class Recorded(MixedDatasetPart):
    """Scenes with real sounds: folders of takes, mixed by the laws of scenes.

    The splits share no take, and some phrases are for test only. docs/recorded.md names free sounds.
    """

    use = "recorded"
    preset: Literal["short", "long", "scenes-small", "scenes"] = Field(
        "scenes-small", description="laws of the scenes"
    )
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="another seed, another set")
    recordings: tuple[Count, Count, Count] = Field((160, 40, 160), description="of train, val and test")
    rate: int = Field(44_100, ge=8_000, le=192_000, description="samples a second")
    folder: str = location(f"folder of the takes; by default the one of this name in ${DATA_VARIABLE}")

    @override
    def build(self) -> Dataset:
        from amrbench_plugins.datasets.recorded.collection import read_collection
        from amrbench_plugins.datasets.recorded.scenes import Options, RecordedDataset

        options = Options(self.preset, self.seed, self.rate, self.recordings)
        return RecordedDataset(lambda: read_collection(*self.corpus_folders()), options)

    @override
    def corpora(self) -> list[RequiredFile]:
        root = path_of(self.folder) if self.folder else data_folder() / self.use
        return [
            RequiredFile(
                what="takes and sounds.yaml",
                path=root,
                present=(root / "sounds.yaml").is_file(),
                published=TAKES,
                remedy=f"Put them there (${DATA_VARIABLE} chooses the folder of data), or name their folder "
                "in the protocol.",
            )
        ]


def _corpus(name: str, chosen: str, where: Published) -> RequiredFile:
    path = path_of(chosen) if chosen else data_folder() / name.lower()
    return RequiredFile(
        what=f"corpus {name}",
        path=path,
        present=has_file(path, SUFFIXES),
        published=where,
        remedy=f"Put a copy there (${DATA_VARIABLE} chooses the folder of data), or name its folder in the "
        "protocol.",
    )
