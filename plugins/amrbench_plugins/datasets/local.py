"""Data sets whose files people provide in a folder: published ones, and any of their own.

Counts, file names and hashes are those of the annotation files that Lighthouse ships
(github.com/line/lighthouse at d095eaa). Its authors publish the features; those of M2D-CLAP come from
participants of the challenge.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator
from typing_extensions import override

from amrbench.data.local_dataset import NOT_PUBLISHED, DatasetFolder, LocalDataset, PublishedSplit
from amrbench.errors import DataError
from amrbench.files.annotations import safe_id
from amrbench.files.folders import DATA_VARIABLE, data_folder
from amrbench.part import location, problem
from amrbench.required_files import Published, RequiredFile
from amrbench.slots.data import Dataset, DatasetPart
from amrbench.slots.features import FeaturesPart


def _lighthouse(file: str, size: str, *, queries: int, recordings: int = 0, md5: str = "") -> PublishedSplit:
    published = Published("github.com/line/lighthouse, folder data", size)
    return PublishedSplit(file, published, queries=queries, recordings=recordings, md5=md5)


CASTELLA = {
    "train": _lighthouse(
        "castella_train_release.jsonl",
        "0.4 MB",
        queries=2182,
        recordings=876,
        md5="937fffdcd431c89a65457c4e09097d72",
    ),
    "val": _lighthouse(
        "castella_val_release.jsonl",
        "0.1 MB",
        queries=352,
        recordings=178,
        md5="7109907e4d1300eb84e8f447c5729837",
    ),
    "test": _lighthouse(
        "castella_test_release.jsonl",
        "0.2 MB",
        queries=1347,
        recordings=566,
        md5="fa8e3be93e23452a9474d511b1bd2409",
    ),
}
CASTELLA_FEATURES = {
    "clap": Published(
        "Zenodo 18358706 (an older one: 17412176), or lighthouse-emnlp2024/CASTELLA_CLAP_features on "
        "Hugging Face",
        "1.3 GB",
    ),
    "m2d-clap": Published("Zenodo 20772071"),
}
CASTELLA_AUDIO = Published("YouTube, under the ids of the annotations (github.com/line/CASTELLA)")
CLOTHO_MOMENT = {
    "train": _lighthouse(
        "clotho_moment_train_release.jsonl",
        "about 7 MB",
        queries=32694,
        md5="146555a5333638a4607ec63e3e3e2f71",  # as a participant published it for the same commit
    ),
    "val": _lighthouse(
        "clotho_moment_val_release.jsonl",
        "1 MB",
        queries=4918,
        recordings=4107,
        md5="cd3707e3964ce5294ad10ad35bda2837",
    ),
    "test": _lighthouse(
        "clotho_moment_test_release.jsonl",
        "1.4 MB",
        queries=6649,
        recordings=5472,
        md5="58193c2fe7cbcc30c79ccbbb0f95dd8c",
    ),
}
CLOTHO_MOMENT_FEATURES = {
    "clap": Published(
        "Zenodo 17129257 (an older one: 13806234), or lighthouse-emnlp2024/Clotho-Moment_CLAP_features on "
        "Hugging Face",
        "22.7 GB",
    ),
    "m2d-clap": Published("Zenodo 20770460"),
}
CLOTHO_MOMENT_AUDIO = Published("lighthouse-emnlp2024/Clotho-Moment on Hugging Face")
IN_CLOTHO_MOMENT_FEATURES = {"clap": CLOTHO_MOMENT_FEATURES["clap"]}
"""Features of UnAV-100 and TUT 2017 are published with those of Clotho-Moment."""
UNAV100 = {"test": _lighthouse("unav100-subset_test_release.jsonl", "13 kB", queries=100, recordings=77)}
TUT2017 = {"test": _lighthouse("tut2017_test_release.jsonl", "16 kB", queries=104, recordings=32)}
_DCASE2026_RELEASE = Published(
    "Zenodo 20450254, or lighthouse-emnlp2024/AudioMomentRetrievalFromLongAudio_DCASE2026EvaluationData on "
    "Hugging Face"
)
DCASE2026 = {
    "evaluation": PublishedSplit(
        "dcase2026_evaluation_release.jsonl", _DCASE2026_RELEASE, queries=177, recordings=100, answers=False
    ),
}
DCASE2026_FEATURES = {"clap": _DCASE2026_RELEASE}
DCASE2026_AUDIO = Published("the organisers of the challenge, on request")
YOUR_OWN = Published("nowhere: they are your own")


class LocalDatasetPart(DatasetPart):
    """A data set in a folder."""

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
    """A published data set; its subclasses hold what is known of the published files."""

    published_splits: ClassVar[Mapping[str, PublishedSplit]]
    features: ClassVar[Mapping[str, Published]]
    """By the names of encoders."""
    audio: ClassVar[Published] = NOT_PUBLISHED
    folder: str = location(f"folder of the data set; by default the one of its name in ${DATA_VARIABLE}")

    @property
    @override
    def dataset_folder(self) -> DatasetFolder:
        root = Path(self.folder).expanduser() if self.folder else data_folder() / self.use
        return DatasetFolder(self.use, root, self.published_splits, self.features, self.audio)


class Castella(PublishedDatasetPart):
    """CASTELLA: 1,620 recordings of one to five minutes with 3,881 queries (Munakata et al. 2025)."""

    use = "castella"
    published_splits = CASTELLA
    features = CASTELLA_FEATURES
    audio = CASTELLA_AUDIO


class ClothoMoment(PublishedDatasetPart):
    """Clotho-Moment: 60-second mixtures with 44,261 queries of one window each (Munakata et al. 2025)."""

    use = "clotho-moment"
    published_splits = CLOTHO_MOMENT
    features = CLOTHO_MOMENT_FEATURES
    audio = CLOTHO_MOMENT_AUDIO


class Unav100(PublishedDatasetPart):
    """The subset of UnAV-100 that Lighthouse annotated: 77 recordings, 100 queries, a test split only."""

    use = "unav100-subset"
    published_splits = UNAV100
    features = IN_CLOTHO_MOMENT_FEATURES


class Tut2017(PublishedDatasetPart):
    """TUT Sound Events 2017 as queries: 32 recordings, 104 queries of six texts, a test split only."""

    use = "tut2017"
    published_splits = TUT2017
    features = IN_CLOTHO_MOMENT_FEATURES


class Dcase2026Evaluation(PublishedDatasetPart):
    """The evaluation set of DCASE 2026 Task 6: 100 recordings, 177 queries; its answers are not public."""

    use = "dcase2026-evaluation"
    published_splits = DCASE2026
    features = DCASE2026_FEATURES
    audio = DCASE2026_AUDIO


class Files(LocalDatasetPart):
    """A data set of one's own: a folder with annotation files, and features or audio."""

    use = "files"
    example: ClassVar[Mapping[str, Any]] = {"folder": "somewhere"}
    folder: str = Field(min_length=1, description="folder of the data set; ~ is the user's own")
    splits: Mapping[str, str] = Field(
        default_factory=lambda: {split: f"{split}.jsonl" for split in ("train", "val", "test")},
        min_length=1,
        description="annotation file of each split, in the folder",
    )

    @field_validator("splits")
    @classmethod
    def _file_names(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name in [*value, *value.values()]:
            try:
                safe_id(name)
            except DataError as error:
                raise problem(str(error)) from None
        return value

    @property
    @override
    def dataset_folder(self) -> DatasetFolder:
        splits = {split: PublishedSplit(file, YOUR_OWN) for split, file in self.splits.items()}
        return DatasetFolder(self.folder, Path(self.folder).expanduser(), splits, audio=YOUR_OWN)


PARTS: tuple[type[DatasetPart], ...] = (
    Castella,
    ClothoMoment,
    Dcase2026Evaluation,
    Files,
    Tut2017,
    Unav100,
)
