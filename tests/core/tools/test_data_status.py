"""The files of data sets and protocols: present, missing or faulty."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.data.local_dataset import DatasetFolder, PublishedSplit
from amrbench.data.required_splits import FeatureRequest
from amrbench.files.annotations import write_annotations
from amrbench.files.feature_file import FeatureHeader
from amrbench.files.feature_file_writer import InMemoryTable, write_feature_file
from amrbench.required_files import Published
from amrbench.slots.data import DatasetPart
from amrbench.tools.data_status import status_of_folder, status_of_requests
from amrbench.types import Query
from tests.small_world.data import OneHot

QUERIES = [Query("1", "a dog", "a", 3.0, ((0.0, 1.0),)), Query("2", "rain", "b", 2.0, ((0.0, 1.0),))]
SPLITS = {"train": PublishedSplit("train.jsonl"), "val": PublishedSplit("val.jsonl", queries=9, md5="0" * 32)}


class Own(DatasetPart):
    """A folder."""

    use = "own"
    folder: str

    def build(self):
        raise NotImplementedError

    def required_files(self, split, features):
        return self.dataset_folder.required_files(split, features)

    @property
    def dataset_folder(self):
        published = {"clap": Published("Zenodo 1", "1 GB")}
        return DatasetFolder("own", Path(self.folder), SPLITS, published)


@pytest.fixture
def part(tmp_path):
    """A data set with annotations, features and audio of its split `train`."""
    write_annotations(tmp_path / "train.jsonl", QUERIES)
    write_features(tmp_path, {"a": 3, "b": 2})
    (tmp_path / "audio").mkdir()
    for name, seconds in (("a", 3), ("b", 2)):
        soundfile.write(tmp_path / "audio" / f"{name}.wav", np.zeros(16000 * seconds), 16000)
    return Own(folder=str(tmp_path))


def write_features(folder, seconds):
    (folder / "features").mkdir(exist_ok=True)
    rows = tuple(np.ones((count, 4), np.float32) for count in seconds.values())
    text = InMemoryTable(("a dog", "rain"), (rows[0], rows[0]))
    header = FeatureHeader("own", "one-hot", "x", 1.0, 4, 4)
    file = folder / "features" / "one-hot.h5"
    write_feature_file(file, header, audio=InMemoryTable(tuple(seconds), rows), text=text)
    return file


def states(files):
    return {file.file.what: file.as_row()["here"] for file in files}


def test_a_data_set_has_annotations_features_and_audio(part, tmp_path):
    (tmp_path / "features" / "._one-hot.h5").write_bytes(b"metadata of macOS")
    files = status_of_folder(part.dataset_folder)
    assert states(files) == {
        "annotations of own train": "yes",
        "annotations of own val": "no",
        "features clap of own": "no",
        "features one-hot of own": "yes",
        "audio of own": "yes",
    }
    assert [file.faults or file.notes for file in files] == [()] * 5
    assert [file.usable for file in files] == [True, False, False, True, True]


def test_a_file_that_several_splits_need_is_listed_once(part):
    requests = [FeatureRequest(part, split, OneHot()) for split in ("train", "val", "train")]
    assert states(status_of_requests(requests)) == {
        "annotations of own train": "yes",
        "features one-hot of own": "yes",
        "annotations of own val": "no",
    }


def fault_of(part, what):
    (file,) = [file for file in status_of_folder(part.dataset_folder) if file.file.what == what]
    assert (file.usable, file.as_row()["here"], len(file.faults)) == (False, "faulty", 1)
    return file.faults[0]


def test_annotations_that_cannot_be_read_are_faulty(part, tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(path.read_text()[:-20])
    assert fault_of(part, "annotations of own train").startswith(f"{path}")


def test_truncated_features_are_faulty(part, tmp_path):
    path = tmp_path / "features" / "one-hot.h5"
    path.write_bytes(path.read_bytes()[:-8])
    assert fault_of(part, "features one-hot of own").startswith(f"{path}: ")


def test_features_of_other_recordings_are_faulty(part, tmp_path):
    path = write_features(tmp_path, {"a": 3, "c": 2})
    text = f"{path}: one-hot: 1 recordings have no features: 'b'."
    assert fault_of(part, "features one-hot of own") == text


def test_audio_without_some_recordings_is_faulty(part, tmp_path):
    (tmp_path / "audio" / "b.wav").unlink()
    assert "missing: 'b'" in fault_of(part, "audio of own")


def test_annotations_that_are_not_those_that_were_published_are_noted(part, tmp_path):
    write_annotations(tmp_path / "val.jsonl", [QUERIES[0]])
    file = status_of_folder(part.dataset_folder)[1]
    assert (file.usable, len(file.notes)) == (True, 1)
    assert file.notes[0].startswith(f"{tmp_path}/val.jsonl: 1 queries about 1 recordings; not the newest")
