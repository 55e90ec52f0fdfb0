import gzip
import json
from dataclasses import replace
from hashlib import md5

import numpy as np
import pytest

from amrbench.data.local_dataset import DatasetFolder, PublishedSplit
from amrbench.errors import DataError
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.feature_file import FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import InMemoryTable, write_feature_file
from amrbench.tools.verify_data import annotation_findings, feature_findings, verify_data
from amrbench.types import Query
from tests.folders import DATA

HEADER = FeatureHeader(source="x", backend="ears", fingerprint="1", hop=1.0, audio_width=2, text_width=2)
PLAIN = Query("a_1", "a dog", "a", 10.0, ((1.0, 2.0),))


def lines_about(*queries):
    return [finding.line() for finding in annotation_findings(queries)]


def query_with(*windows, **changes):
    return replace(PLAIN, windows=windows, **changes)


def test_sound_annotations_have_no_findings():
    assert lines_about(PLAIN, replace(PLAIN, qid="a_2", query="a cat")) == []


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        (
            query_with((5.0, 11.0)),
            ["note  1 windows end after their recording; training keeps those up to a second late: 'a_1'"],
        ),
        (
            query_with((5.0, 12.0)),
            [
                "note  1 windows end after their recording; training keeps those up to a second late: 'a_1'",
                "note  1 windows end more than a second after their recording; training cuts them: 'a_1'",
            ],
        ),
        (
            query_with((10.0, 11.0)),
            [
                "note  1 queries have no window with a length inside their recording: 'a_1'",
                "note  1 windows end after their recording; training keeps those up to a second late: 'a_1'",
                "note  1 windows start at or after the end of their recording; training drops those without "
                "features: 'a_1'",
            ],
        ),
        (
            query_with((1.0, 2.0), (3.0, 3.0)),
            ["note  1 windows have no length; training and scoring drop them: 'a_1'"],
        ),
        (
            query_with((1.0, 1.5)),
            ["note  1 windows are shorter than a second, which is one feature row: 'a_1'"],
        ),
        (
            query_with((4.0, 5.0), (1.0, 2.0)),
            ["note  1 queries have windows that are not in temporal order: 'a_1'"],
        ),
        (query_with((1.0, 5.0), (4.0, 6.0)), ["note  1 queries have windows that overlap: 'a_1'"]),
        (query_with((1.0, 4.0), (4.0, 6.0)), ["note  1 windows touch the one before them: 'a_1'"]),
        (query_with(), ["note  1 queries have no public ground truth: 'a_1'"]),
        (replace(PLAIN, vid="../a"), ["FAULT 1 queries have ids that cannot be file names: 'a_1'"]),
        (replace(PLAIN, query="a dog "), ["note  1 texts begin or end with a space: 'a_1'"]),
        (replace(PLAIN, query="une bête"), ["note  1 texts have characters beyond ASCII: 'a_1'"]),
    ],
)
def test_each_defect_of_a_query_has_a_line(query, lines):
    assert lines_about(query) == lines


def test_defects_of_recordings():
    repeated = replace(PLAIN, qid="a_2")
    assert lines_about(PLAIN, repeated) == [
        "note  1 queries have the text of another query about their recording: 'a'"
    ]
    longer = replace(PLAIN, qid="a_2", query="a cat", duration=11.0)
    assert lines_about(PLAIN, longer) == ["FAULT 1 recordings have more than one duration: 'a'"]


def test_crops_of_one_source_that_overlap():
    vids = ["Park_0.0_60.0", "Park_50.0_110.0", "Park_110.0_170.0", "Zoo_0_60"]
    queries = [replace(PLAIN, qid=vid, vid=vid) for vid in vids]
    assert lines_about(*queries) == [
        "note  2 recordings are, by their ids, overlapping crops of one source, so they are not independent: "
        "'Park_0.0_60.0', 'Park_50.0_110.0'"
    ]


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "x" / "train.jsonl"
    path.parent.mkdir()
    write_annotations(path, [PLAIN, replace(PLAIN, qid="b_1", vid="b", query="a cat")])
    digest = md5(path.read_bytes()).hexdigest()
    splits = {
        "train": PublishedSplit("train.jsonl", queries=2, recordings=2, md5=digest),
        "test": PublishedSplit("test.jsonl", queries=5),
    }
    return DatasetFolder("x", path.parent, splits)


def write_features(dataset, audio, texts=("a dog", "a cat")):
    path = dataset.root / "features" / "ears.h5"
    path.parent.mkdir(exist_ok=True)
    rows = tuple(np.ones((count, 2), np.float32) for count in audio.values())
    text = tuple(np.ones((1, 2), np.float32) for _ in texts)
    write_feature_file(
        path, HEADER, audio=InMemoryTable(tuple(audio), rows), text=InMemoryTable(tuple(texts), text)
    )
    return path


def lines(dataset):
    return verify_data(dataset).text().splitlines()


def no_annotations(dataset, split="test"):
    return [f"x {split}", f"  note  no annotations: there is no {dataset.root}/{split}.jsonl"]


def no_features(dataset):
    return (
        f"  note  no features: there is no .h5 file in {dataset.root}/features; 'amrbench data import' and "
        "'amrbench data extract' make one"
    )


def no_audio(dataset, *vids):
    audio, names = dataset.root / "audio", ", ".join(map(repr, vids))
    return [
        f"  note  {len(vids)} recordings are not in {audio}, and 'amrbench data extract' needs them: {names}",
        f"  note  There is no folder {audio}.",
    ]


def test_annotations_are_compared_with_the_published_file(dataset):
    published = "  note  2 queries about 2 recordings, byte for byte as published"
    missing = [no_features(dataset), *no_audio(dataset, "a", "b")]
    assert lines(dataset) == ["x train", published, *missing, *no_annotations(dataset)]
    write_annotations(dataset.annotations("train"), [PLAIN])
    digest = dataset.splits["train"].md5[:12]
    assert lines(dataset) == [
        "x train",
        "  note  1 queries about 1 recordings; not the newest published file, which has 2 queries "
        f"(md5 {digest}...)",
        no_features(dataset),
        *no_audio(dataset, "a"),
        *no_annotations(dataset),
    ]


def test_splits_without_annotations_have_a_note_in_their_order(dataset):
    write_annotations(dataset.annotations("test"), [replace(PLAIN, qid="c", vid="c")])
    dataset.annotations("train").unlink()
    assert lines(dataset)[:3] == [*no_annotations(dataset, "train"), "x test"]
    assert verify_data(dataset).faults == 0


def test_a_recording_in_two_splits_is_a_fault(dataset):
    write_annotations(dataset.annotations("test"), [replace(PLAIN, qid="c")])
    assert lines(dataset)[5:] == [
        "x test",
        "  note  1 queries about 1 recordings; 5 were published",
        "  FAULT 1 recordings are in train too: 'a'",
        no_features(dataset),
        *no_audio(dataset, "a"),
    ]
    assert verify_data(dataset).faults == 1
    assert verify_data(dataset).as_json()["splits"]["test"][1] == {
        "text": "1 recordings are in train too",
        "fault": True,
        "where": ["a"],
    }


def test_ids_that_start_again_with_other_sentences_are_noted(dataset):
    again = [
        replace(PLAIN, qid="b_1", vid="c", query="rain"),
        replace(PLAIN, vid="d"),
        replace(PLAIN, qid="n"),
    ]
    write_annotations(dataset.annotations("test"), [*again[:2], replace(again[2], vid="e")])
    assert [line for line in lines(dataset) if "ids of queries" in line] == [
        "  note  1 ids of queries are in train.jsonl too, with other sentences; import published features, "
        "whose files are named by ids, split by split (--split): 'b_1'",
    ]
    assert verify_data(dataset).faults == 0


def test_annotations_that_cannot_be_read_are_a_fault(dataset):
    dataset.annotations("train").write_text("{broken\n")
    assert verify_data(dataset).faults == 1
    assert "train.jsonl" in lines(dataset)[1]


def test_features_that_fit(dataset):
    file = write_features(dataset, {"a": 10, "b": 11})
    file.with_name("._ears.h5").write_bytes(b"metadata of macOS")
    assert lines(dataset)[2:] == [
        "  note  ears: 1 recordings have some rows more or less than their duration, at most a tenth: 'b'",
        *no_annotations(dataset),
    ]


def test_hidden_features_alone_are_none(dataset):
    write_features(dataset, {}).rename(dataset.root / "features" / ".ears.h5")
    assert lines(dataset)[2].startswith("  note  no features: there is no .h5 file in ")


def test_features_that_are_missing_or_do_not_fit_are_faults(dataset):
    write_features(dataset, {"a": 30}, texts=("a dog",))
    assert lines(dataset)[2:] == [
        "  FAULT ears: 1 recordings have no features: 'b'",
        "  FAULT ears: 1 queries have sentences without features; 'amrbench data extract' adds them: 'b_1'",
        "  FAULT ears: 1 recordings have features of another length: 'a'",
        *no_annotations(dataset),
    ]


def test_features_whose_bytes_changed_are_a_fault(dataset):
    path = write_features(dataset, {"a": 10, "b": 10})
    offset = path.read_bytes().index(np.ones((20, 2), np.float32).tobytes())
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\\x01")
    queries = read_annotations(dataset.annotations("train"))
    assert [finding.fault for finding in feature_findings("ears", open_feature_file(path), queries)] == [True]
    path.write_bytes(b"no features")
    assert verify_data(dataset).faults == 1
    assert str(path) in lines(dataset)[2]


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError) as error:
        verify_data(DatasetFolder("x", tmp_path, {"train": PublishedSplit("train.jsonl")}))
    assert str(error.value) == f"x: there are no annotations. Put them at {tmp_path}/train.jsonl."


PUBLISHED = DATA / "castella_windows.json.gz"
"""Ids, durations and windows of CASTELLA (CC BY 4.0) as Lighthouse ships them; numbers stand for texts."""

DEFECTS = {
    "train": {
        "queries have no window with a length inside their recording": 2,
        "queries have windows that are not in temporal order": 353,
        "texts have characters beyond ASCII": 1,
        "windows end after their recording; training keeps those up to a second late": 162,
        "windows end more than a second after their recording; training cuts them": 1,
        "windows start at or after the end of their recording; training drops those without features": 11,
        "windows touch the one before them": 3,
    },
    "val": {
        "queries have windows that are not in temporal order": 65,
        "windows end after their recording; training keeps those up to a second late": 12,
        "windows start at or after the end of their recording; training drops those without features": 1,
        "windows touch the one before them": 2,
    },
    "test": {
        "queries have no window with a length inside their recording": 2,
        "queries have windows that are not in temporal order": 208,
        "texts have characters beyond ASCII": 3,
        "windows end after their recording; training keeps those up to a second late": 99,
        "windows end more than a second after their recording; training cuts them": 1,
        "windows start at or after the end of their recording; training drops those without features": 4,
        "windows touch the one before them": 5,
        "queries have the text of another query about their recording": 2,
    },
}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_known_defect_of_castella_is_found(split):
    rows = json.loads(gzip.decompress(PUBLISHED.read_bytes()))[split]
    queries = [
        Query(qid, text, vid, duration, tuple(map(tuple, windows)))
        for qid, vid, duration, windows, text in rows
    ]
    counts = [finding.text.split(" ", 1) for finding in annotation_findings(queries)]
    assert {text: int(count) for count, text in counts} == DEFECTS[split]
