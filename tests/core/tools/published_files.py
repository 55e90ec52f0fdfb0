"""A small data set with published feature files, in folders and archives."""

import io
import tarfile
import zipfile

import numpy as np
import pytest

from amrbench.data.local_dataset import DatasetFolder, PublishedSplit
from amrbench.data.worker_pool import no_report
from amrbench.errors import DataError
from amrbench.files.annotations import write_annotations
from amrbench.files.feature_file import open_feature_file
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.tools.import_features import import_features
from amrbench.types import Query

QUERIES = {
    "train": [
        Query("-a_1", "ein Hund", "-a", 4.0, ((0.0, 1.0),)),
        Query("-a_2", "a cat", "-a", 4.0, ((1.0, 2.0),)),
        Query("b.0_1", "a dog", "b.0_é", 3.0, ((0.0, 1.0),)),
    ],
    "test": [Query(7, "a dog", "c", 2.0, ((0.0, 1.0),))],
}
RECORDINGS = {"-a": 4, "b.0_é": 4, "c": 2}
"""Rows of each recording."""
TEXTS = {"-a_1": 3, "-a_2": 1, "b.0_1": 2, "7": 2}
"""Rows of each query."""
NAMES = {"-a_1": "-a_1\tein Hund", "-a_2": "-a_2\ta cat", "b.0_1": "b.0_1\ta dog", "7": "7\ta dog"}
"""Names of the texts in the feature file."""


class Ears(FeatureBackend):
    name, audio_width, text_width, rate, hop = "ears", 5, 4, 8000, 1.0


class EarsPart(FeaturesPart):
    """An encoder of which only the widths are known."""

    use = "ears"

    def build(self):
        return Ears()


def random_rows(name, count, width):
    return np.random.default_rng((sum(name.encode()), width)).normal(size=(count, width)).astype(np.float32)


def npz(**arrays):
    data = io.BytesIO()
    np.savez(data, **arrays)
    return data.getvalue()


def published():
    """Return the content of all published files by their names."""
    audio = {f"clap/{vid}.npz": npz(features=random_rows(vid, count, 5)) for vid, count in RECORDINGS.items()}
    text = {
        f"clap_text/qid{qid}.npz": npz(last_hidden_state=random_rows(qid, count, 4))
        for qid, count in TEXTS.items()
    }
    return audio | text


def folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def tar(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def feature_file(dataset):
    return dataset.feature_file(EarsPart())


def take(dataset, *sources, report=no_report, **options):
    return import_features(dataset, EarsPart(), sources, report=report, **options)


def refusal(dataset, *sources, **options):
    with pytest.raises(DataError) as error:
        take(dataset, *sources, **options)
    return str(error.value)


def expect_complete(dataset):
    """Check that all features are imported, and that no folder is left."""
    file = open_feature_file(feature_file(dataset))
    file.verify()
    assert list(file.audio.ids) == list(RECORDINGS)
    assert list(file.text.ids) == list(NAMES.values())
    for vid, count in RECORDINGS.items():
        assert np.array_equal(file.audio.rows(vid), random_rows(vid, count, 5))
    for qid, count in TEXTS.items():
        assert np.array_equal(file.text.rows(NAMES[qid]), random_rows(qid, count, 4))
    assert [path for path in feature_file(dataset).parent.iterdir() if path.is_dir()] == []


def dataset_in(root):
    """Return the folder of the data set, with annotations and without features."""
    dataset = DatasetFolder("toy", root, {split: PublishedSplit(f"{split}.jsonl") for split in QUERIES})
    root.mkdir()
    for split, queries in QUERIES.items():
        write_annotations(dataset.annotations(split), queries)
    return dataset
