"""What is known of published data sets: their annotation files, and the sources of features and audio.

Counts, file names and hashes are those of the annotation files that Lighthouse ships
(github.com/line/lighthouse at d095eaa). Its authors publish the features; those of M2D-CLAP come from
participants of the challenge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from amrbench.data.local_dataset import NOT_PUBLISHED, PublishedSplit
from amrbench.required_files import Published


@dataclass(frozen=True)
class PublishedDataset:
    """A published data set.

    Attributes:
        splits: Annotation files.
        features: By the names of encoders.
        audio: Recordings.
    """

    splits: Mapping[str, PublishedSplit]
    features: Mapping[str, Published]
    audio: Published = NOT_PUBLISHED


_MD5 = {
    "castella_train_release.jsonl": "937fffdcd431c89a65457c4e09097d72",
    "castella_val_release.jsonl": "7109907e4d1300eb84e8f447c5729837",
    "castella_test_release.jsonl": "fa8e3be93e23452a9474d511b1bd2409",
    # As a participant published it for the same commit.
    "clotho_moment_train_release.jsonl": "146555a5333638a4607ec63e3e3e2f71",
    "clotho_moment_val_release.jsonl": "cd3707e3964ce5294ad10ad35bda2837",
    "clotho_moment_test_release.jsonl": "58193c2fe7cbcc30c79ccbbb0f95dd8c",
}


def _lighthouse(file: str, size: str, *, queries: int, recordings: int = 0) -> PublishedSplit:
    published = Published("github.com/line/lighthouse, folder data", size)
    return PublishedSplit(file, published, queries, recordings, _MD5.get(file, ""))


CASTELLA = PublishedDataset(
    splits={
        "train": _lighthouse("castella_train_release.jsonl", "0.4 MB", queries=2182, recordings=876),
        "val": _lighthouse("castella_val_release.jsonl", "0.1 MB", queries=352, recordings=178),
        "test": _lighthouse("castella_test_release.jsonl", "0.2 MB", queries=1347, recordings=566),
    },
    features={
        "clap": Published(
            "Zenodo 18358706 (an older one: 17412176), or lighthouse-emnlp2024/CASTELLA_CLAP_features on "
            "Hugging Face",
            "1.3 GB",
        ),
        "m2d-clap": Published("Zenodo 20772071"),
    },
    audio=Published("YouTube, under the ids of the annotations (github.com/line/CASTELLA)"),
)
CLOTHO_MOMENT = PublishedDataset(
    splits={
        "train": _lighthouse("clotho_moment_train_release.jsonl", "about 7 MB", queries=32694),
        "val": _lighthouse("clotho_moment_val_release.jsonl", "1 MB", queries=4918, recordings=4107),
        "test": _lighthouse("clotho_moment_test_release.jsonl", "1.4 MB", queries=6649, recordings=5472),
    },
    features={
        "clap": Published(
            "Zenodo 17129257 (an older one: 13806234), or lighthouse-emnlp2024/Clotho-Moment_CLAP_features "
            "on Hugging Face",
            "22.7 GB",
        ),
        "m2d-clap": Published("Zenodo 20770460"),
    },
    audio=Published("lighthouse-emnlp2024/Clotho-Moment on Hugging Face"),
)
# Their features are published with those of Clotho-Moment.
UNAV100 = PublishedDataset(
    {"test": _lighthouse("unav100-subset_test_release.jsonl", "13 kB", queries=100, recordings=77)},
    {"clap": CLOTHO_MOMENT.features["clap"]},
)
TUT2017 = PublishedDataset(
    {"test": _lighthouse("tut2017_test_release.jsonl", "16 kB", queries=104, recordings=32)},
    {"clap": CLOTHO_MOMENT.features["clap"]},
)
_RELEASE = Published(
    "Zenodo 20450254, or lighthouse-emnlp2024/AudioMomentRetrievalFromLongAudio_DCASE2026EvaluationData on "
    "Hugging Face"
)
DCASE2026 = PublishedDataset(
    {"evaluation": PublishedSplit("dcase2026_evaluation_release.jsonl", _RELEASE, 177, 100, answers=False)},
    {"clap": _RELEASE},
    Published("the organisers of the challenge, on request"),
)
