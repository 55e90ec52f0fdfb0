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


def found(*queries):
    return [each.line() for each in annotation_findings(queries)]


def asked(*windows, **changes):
    return replace(PLAIN, windows=windows, **changes)


def test_nothing_stands_out_in_sound_annotations():
    assert found(PLAIN, replace(PLAIN, qid="a_2", query="a cat")) == []


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        (
            asked((5.0, 11.0)),
            ["note  1 windows end after their recording; training keeps those up to a second late: 'a_1'"],
        ),
        (
            asked((5.0, 12.0)),
            [
                "note  1 windows end after their recording; training keeps those up to a second late: 'a_1'",
                "note  1 windows end more than a second after their recording; training cuts them: 'a_1'",
            ],
        ),
        (
            asked((10.0, 11.0)),
            [
                "note  1 queries have no window left that can be heard: 'a_1'",
                "note  1 windows end after their recording; training keeps those up to a second late: 'a_1'",
                "note  1 windows start at or after the end of their recording; training drops those without "
                "features: 'a_1'",
            ],
        ),
        (
            asked((1.0, 2.0), (3.0, 3.0)),
            ["note  1 windows have no length; training and scoring drop them: 'a_1'"],
        ),
        (asked((1.0, 1.5)), ["note  1 windows are shorter than a second, which is one feature row: 'a_1'"]),
        (
            asked((4.0, 5.0), (1.0, 2.0)),
            ["note  1 queries have windows that are not in the order of time: 'a_1'"],
        ),
        (asked((1.0, 5.0), (4.0, 6.0)), ["note  1 queries have windows that overlap: 'a_1'"]),
        (asked((1.0, 4.0), (4.0, 6.0)), ["note  1 windows touch the one before them: 'a_1'"]),
        (asked(), ["note  1 queries have no public answer: 'a_1'"]),
        (
            replace(PLAIN, vid="../a"),
            ["FAULT 1 queries have ids that cannot be names of files: 'a_1'"],
        ),
        (replace(PLAIN, query="a dog "), ["note  1 texts begin or end with a space: 'a_1'"]),
        (replace(PLAIN, query="une bête"), ["note  1 texts have characters beyond ASCII: 'a_1'"]),
    ],
)
def test_each_defect_of_a_query_has_a_line(query, lines):
    assert found(query) == lines


def test_defects_of_recordings():
    again = replace(PLAIN, qid="a_2")
    assert found(PLAIN, again) == ["note  1 queries repeat the text of another about their recording: 'a'"]
    longer = replace(PLAIN, qid="a_2", query="a cat", duration=11.0)
    assert found(PLAIN, longer) == ["FAULT 1 recordings have more than one duration: 'a'"]


def test_crops_of_one_place_that_overlap():
    vids = ["Park_0.0_60.0", "Park_50.0_110.0", "Park_110.0_170.0", "Zoo_0_60"]
    queries = [replace(PLAIN, qid=vid, vid=vid) for vid in vids]
    assert found(*queries) == [
        "note  2 recordings are, by their ids, crops that overlap another of the same place, so they are not "
        "independent: 'Park_0.0_60.0', 'Park_50.0_110.0'"
    ]


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "x" / "train.jsonl"
    path.parent.mkdir()
    write_annotations(path, [PLAIN, replace(PLAIN, qid="b_1", vid="b")])
    digest = md5(path.read_bytes()).hexdigest()
    facts = {
        "train": PublishedSplit("train.jsonl", queries=2, recordings=2, md5=digest),
        "test": PublishedSplit("test.jsonl", queries=5),
    }
    return DatasetFolder("x", path.parent, facts)


def features(home, audio, texts=("a_1", "b_1")):
    path = home.root / "features" / "ears.h5"
    path.parent.mkdir(exist_ok=True)
    rows = tuple(np.ones((count, 2), np.float32) for count in audio.values())
    text = tuple(np.ones((1, 2), np.float32) for _ in texts)
    write_feature_file(
        path, HEADER, audio=InMemoryTable(tuple(audio), rows), text=InMemoryTable(tuple(texts), text)
    )
    return path


def lines(home):
    return verify_data(home).text().splitlines()


def not_placed(home, split="test"):
    return [f"x {split}", f"  note  not placed: there is no {home.root}/{split}.jsonl"]


def no_features(home):
    return (
        f"  note  no features: there is no .h5 file in {home.root}/features; 'amrbench data import' and "
        "'amrbench data extract' make one"
    )


def test_what_is_as_published_is_told_so(home):
    published = "  note  2 queries about 2 recordings, byte for byte as published"
    assert lines(home) == ["x train", published, no_features(home), *not_placed(home)]
    write_annotations(home.annotations("train"), [PLAIN])
    digest = home.facts["train"].md5[:12]
    assert lines(home) == [
        "x train",
        "  note  1 queries about 1 recordings; not the newest published file, which has 2 queries "
        f"(md5 {digest}...)",
        no_features(home),
        *not_placed(home),
    ]


def test_splits_that_are_not_placed_are_told_in_their_order(home):
    write_annotations(home.annotations("test"), [replace(PLAIN, qid="c", vid="c")])
    home.annotations("train").unlink()
    assert lines(home)[:3] == [*not_placed(home, "train"), "x test"]
    assert verify_data(home).faults == 0


def test_a_recording_in_two_splits_is_a_fault(home):
    write_annotations(home.annotations("test"), [replace(PLAIN, qid="c")])
    assert lines(home)[3:] == [
        "x test",
        "  note  1 queries about 1 recordings; 5 were published",
        "  FAULT 1 recordings are in train too: 'a'",
        no_features(home),
    ]
    assert verify_data(home).faults == 1
    assert verify_data(home).as_json()["splits"]["test"][1] == {
        "text": "1 recordings are in train too",
        "fault": True,
        "where": ["a"],
    }


def test_annotations_that_cannot_be_read_are_a_fault(home):
    home.annotations("train").write_text("{broken\n")
    assert verify_data(home).faults == 1
    assert "train.jsonl" in lines(home)[1]


def test_features_that_fit(home):
    features(home, {"a": 10, "b": 11})
    assert lines(home)[2:] == [
        "  note  ears: 1 recordings have a row more or less than their duration: 'b'",
        *not_placed(home),
    ]


def test_features_that_lack_and_do_not_fit_are_faults(home):
    features(home, {"a": 30}, texts=("a_1",))
    assert lines(home)[2:] == [
        "  FAULT ears: 1 recordings have no features: 'b'",
        "  FAULT ears: 1 queries have no features: 'b_1'",
        "  FAULT ears: 1 recordings have features of another length: 'a'",
        *not_placed(home),
    ]


def test_features_whose_bytes_changed_are_a_fault(home):
    path = features(home, {"a": 10, "b": 10})
    place = path.read_bytes().index(np.ones((20, 2), np.float32).tobytes())
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\\x01")
    assert [
        each.fault
        for each in feature_findings(
            "ears", open_feature_file(path), read_annotations(home.annotations("train"))
        )
    ]
    path.write_bytes(b"no features")
    assert verify_data(home).faults == 1
    assert str(path) in lines(home)[2]


def test_an_empty_home(tmp_path):
    with pytest.raises(DataError) as error:
        verify_data(DatasetFolder("x", tmp_path, {"train": PublishedSplit("train.jsonl")}))
    assert str(error.value) == f"x: nothing is placed. The annotations belong to {tmp_path}/train.jsonl."


PUBLISHED = DATA / "castella_windows.json.gz"
"""Ids, durations and windows of CASTELLA (CC BY 4.0) as Lighthouse ships them; numbers stand for texts."""

DEFECTS = {
    "train": {
        "queries have no window left that can be heard": 2,
        "queries have windows that are not in the order of time": 353,
        "texts have characters beyond ASCII": 1,
        "windows end after their recording; training keeps those up to a second late": 162,
        "windows end more than a second after their recording; training cuts them": 1,
        "windows start at or after the end of their recording; training drops those without features": 11,
        "windows touch the one before them": 3,
    },
    "val": {
        "queries have windows that are not in the order of time": 65,
        "windows end after their recording; training keeps those up to a second late": 12,
        "windows start at or after the end of their recording; training drops those without features": 1,
        "windows touch the one before them": 2,
    },
    "test": {
        "queries have no window left that can be heard": 2,
        "queries have windows that are not in the order of time": 208,
        "texts have characters beyond ASCII": 3,
        "windows end after their recording; training keeps those up to a second late": 99,
        "windows end more than a second after their recording; training cuts them": 1,
        "windows start at or after the end of their recording; training drops those without features": 4,
        "windows touch the one before them": 5,
        "queries repeat the text of another about their recording": 2,
    },
}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_known_defect_of_castella_is_found(split):
    rows = json.loads(gzip.decompress(PUBLISHED.read_bytes()))[split]
    queries = [
        Query(qid, text, vid, duration, tuple(map(tuple, windows)))
        for qid, vid, duration, windows, text in rows
    ]
    counts = [each.text.split(" ", 1) for each in annotation_findings(queries)]
    assert {what: int(count) for count, what in counts} == DEFECTS[split]
