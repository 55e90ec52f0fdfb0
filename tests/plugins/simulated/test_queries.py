import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.types import Query
from amrbench_plugins.simulated.marginals import CASTELLA, CLOTHO_MOMENT, SHAPES
from amrbench_plugins.simulated.queries import DrawnQueries, ListedQueries, at_levels


def all_queries(source, split):
    return [query for index in range(source.size(split)) for query in source.queries(split, index)]


@pytest.fixture(scope="module")
def castella():
    source = DrawnQueries(CASTELLA, 0, 1.0)
    return {split: all_queries(source, split) for split in source.splits}


def test_the_size_is_exact(castella):
    assert {split: len(queries) for split, queries in castella.items()} == {
        "train": 2182,
        "val": 352,
        "test": 1347,
    }
    assert {split: len({query.vid for query in queries}) for split, queries in castella.items()} == {
        "train": 876,
        "val": 178,
        "test": 566,
    }


@pytest.mark.parametrize("split", CASTELLA.splits)
def test_lengths_are_as_published(castella, split):
    seconds = list({query.vid: query.duration for query in castella[split]}.values())
    levels = (0.1, 0.3, 0.5, 0.7, 0.9)
    published = at_levels(CASTELLA.splits[split].durations, np.array(levels))
    np.testing.assert_allclose(np.quantile(seconds, levels), published, atol=4)


def test_windows_are_about_as_published(castella):
    queries = [query for split in castella.values() for query in split]
    widths = np.array([end - start for query in queries for start, end in query.windows])
    assert np.mean([len(query.windows) for query in queries]) == pytest.approx(2.91, abs=0.02)
    assert np.mean([len(query.windows) == 1 for query in queries]) == pytest.approx(0.4625, abs=0.002)
    assert np.median(widths) == 4
    assert widths.mean() == pytest.approx(11, abs=1)  # As published: 10.7.
    assert np.mean([len(query.query.split()) for query in queries]) == pytest.approx(6.76, abs=0.2)


@pytest.mark.parametrize("name", SHAPES)
def test_windows_are_inside_in_order_and_do_not_touch(name):
    shape = SHAPES[name]
    source = DrawnQueries(shape, 3, 0.02)
    for split in source.splits:
        for query in all_queries(source, split):
            bounds = np.array(query.windows).reshape(-1)
            assert bounds[0] >= 0
            assert bounds[-1] <= query.duration
            assert (np.diff(bounds) > 0.99 * shape.step).all()
            assert np.allclose(bounds / shape.step, np.round(bounds / shape.step), atol=1e-6)


def test_ids_and_annotations_say_that_they_are_simulated(castella, tmp_path):
    first = castella["val"][0]
    assert (first.vid, first.qid) == ("simulated-castella-val-000000", "simulated-castella-val-000000_1")
    assert first.extra == {"simulated": True}
    write_annotations(tmp_path / "rows.jsonl", castella["val"])
    assert read_annotations(tmp_path / "rows.jsonl") == castella["val"]


def test_splits_share_no_recording_and_no_query(castella):
    queries = [query for split in castella.values() for query in split]
    assert len({query.qid for query in queries}) == len(queries)
    assert len({query.vid for query in queries}) == 1620


def test_queries_do_not_depend_on_those_read_before():
    one, other = (DrawnQueries(CLOTHO_MOMENT, 0, 0.01) for _ in range(2))
    forwards = [one.queries("val", index) for index in range(5)]
    assert forwards == [other.queries("val", index) for index in reversed(range(5))][::-1]


def test_the_scale_changes_the_number_of_recordings():
    assert DrawnQueries(CASTELLA, 0, 0.5).size("train") == 438
    assert DrawnQueries(CASTELLA, 0, 10).size("train") == 8760
    assert DrawnQueries(CASTELLA, 0, 0.001).size("val") == 1


def test_another_seed_or_scale_has_another_fingerprint():
    variants = [DrawnQueries(CASTELLA, 0, 1.0), DrawnQueries(CASTELLA, 1, 1.0), DrawnQueries(CASTELLA, 0, 2)]
    assert len({source.fingerprint() for source in [*variants, DrawnQueries(CASTELLA, 0, 1.0)]}) == 3


# ---------------------------------------------------------------- from annotation files


ROWS = [
    Query("a_1", "rain", "a", 64.0, ((60.0, 70.0),), {"level": 2}),
    Query("b_1", "a dog", "b", 30.0, ((3.0, 8.0), (1.0, 2.0))),
    Query("a_2", "thunder", "a", 64.0, ()),
]


@pytest.fixture
def listed(tmp_path):
    write_annotations(tmp_path / "train.jsonl", ROWS)
    return ListedQueries({"train": tmp_path / "train.jsonl", "val": tmp_path / "val.jsonl"})


def test_queries_of_a_file_are_used_exactly(listed):
    assert listed.size("train") == 2
    read = all_queries(listed, "train")
    assert [(query.qid, query.vid) for query in read] == [
        ("simulated-a_1", "simulated-a"),
        ("simulated-a_2", "simulated-a"),
        ("simulated-b_1", "simulated-b"),
    ]
    for query, row in zip(read, (ROWS[0], ROWS[2], ROWS[1]), strict=True):
        assert (query.query, query.duration, query.windows) == (row.query, row.duration, row.windows)
        assert query.extra == {**row.extra, "simulated": True}


def test_a_changed_file_has_another_fingerprint(listed, tmp_path):
    before = listed.fingerprint()
    assert ListedQueries(listed.files).fingerprint() == before
    write_annotations(tmp_path / "train.jsonl", ROWS[:2])
    assert ListedQueries(listed.files).fingerprint() != before


def test_a_missing_file_is_named(listed, tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}/val.jsonl"):
        listed.queries("val", 0)
