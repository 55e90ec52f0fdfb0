"""Statistics of annotations, against numbers counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amrbench.errors import DataError
from amrbench.notes import Note
from amrbench.slots.data import Dataset
from amrbench.tools.annotation_statistics import Summary, annotation_statistics, known_queries
from amrbench.types import Query

QUERIES = [
    Query(1, "a dog", "a", 60.0, ((10.0, 12.0), (20.0, 26.0))),
    Query(2, "rain", "a", 60.0, ((11.0, 31.5),)),
    Query(3, "rain", "b", 100.0, ((0.0, 40.0),)),
]


def of(queries):
    return annotation_statistics("mine", queries)


def test_recordings_windows_and_shares_are_counted():
    found = of(QUERIES)
    assert (found.recordings, found.queries) == (2, 3)
    assert found.seconds == Summary.of([60.0, 100.0])
    assert found.widths == Summary.of([2.0, 6.0, 20.5, 40.0])
    assert found.windows == Summary.of([2, 1, 1])
    assert found.covered == Summary.of([100 * 8 / 60, 100 * 20.5 / 60, 40.0])
    assert found.gaps == Summary.of([8.0])
    assert found.shares == pytest.approx(
        {
            "up to 2 s, %": 25,
            "over 30 s, %": 25,
            "one window, %": 100 * 2 / 3,
            "three or more, %": 0,
            "whole seconds, %": 100 * 7 / 8,
            "shared, %": 100 * (7 / 8 + 7 / 20.5 + 0) / 3,
        }
    )


TENTHS = st.tuples(st.integers(0, 60), st.integers(1, 40)).map(lambda own: (own[0], own[0] + own[1]))


def shared_by_hand(queries):
    """Return the mean share of a query's tenths of a second that another query has too, in percent."""
    tenths = [{tenth for window in query.windows for tenth in range(*window)} for query in queries]
    shares = []
    for number, own in enumerate(tenths):
        others = set().union(*(other for index, other in enumerate(tenths) if index != number))
        shares.append(len(own & others) / len(own))
    return 100 * np.mean(shares)


@given(st.lists(st.lists(TENTHS, min_size=1, max_size=4), min_size=1, max_size=5))
def test_shared_time_is_that_of_its_slow_twin(listed):
    queries = [Query(number, "rain", "a", 100.0, tuple(windows)) for number, windows in enumerate(listed)]
    seconds = [
        replace(query, duration=10.0, windows=tuple((start / 10, end / 10) for start, end in query.windows))
        for query in queries
    ]
    assert of(seconds).shares["shared, %"] == pytest.approx(shared_by_hand(queries))


def test_long_recordings_take_no_more_memory_than_short_ones():
    long = [
        replace(query, duration=3e12, windows=((0.0, end),))
        for query, end in zip(QUERIES, (1e12, 3e12, 1.0), strict=True)
    ]
    assert of(long).shares["shared, %"] == pytest.approx(100 * (1 + 1 / 3 + 0) / 3)


def test_a_summary_is_percentiles_and_mean():
    values = np.arange(101.0)
    assert Summary.of(values) == Summary(5, 50, 95, 50)
    assert str(Summary.of(values)) == "5/50/95, mean 50"


def test_windows_end_with_their_recordings_and_queries_without_any_are_left_out():
    late = Query(4, "late", "c", 30.0, ((20.0, 500.0), (40.0, 41.0)))
    outside = Query(5, "outside", "d", 30.0, ((31.0, 32.0),))
    with pytest.warns(Note) as notes:
        found = of([late, outside])
    assert [str(note.message) for note in notes] == [
        "mine: 1 of 2 queries have no window inside their recording and are not counted."
    ]
    assert (found.recordings, found.queries) == (1, 1)
    assert found.widths == Summary(10, 10, 10, 10)
    assert found.gaps is None
    assert found.as_row("mine")["gap, s"] == "-"


def test_time_in_several_windows_counts_once():
    twice = of([Query(1, "rain", "a", 60.0, ((0.0, 60.0), (0.0, 60.0)))])
    assert (twice.covered, twice.gaps) == (Summary.of([100.0]), None)
    assert twice.windows == Summary.of([2])
    inside = of([Query(1, "rain", "a", 200.0, ((0.0, 100.0), (10.0, 20.0), (150.0, 160.0)))])
    assert (inside.covered, inside.gaps) == (Summary.of([55.0]), Summary.of([50.0]))


def test_windows_that_touch_have_no_time_between_them():
    found = of([Query(1, "rain", "a", 60.0, ((0.0, 10.0), (10.0, 20.0), (25.0, 30.0)))])
    assert (found.covered, found.gaps) == (Summary.of([100 * 25 / 60]), Summary.of([0.0, 5.0]))


def test_windows_may_come_in_any_order():
    backwards = [Query(1, "a dog", "a", 60.0, ((20.0, 26.0), (10.0, 12.0))), *QUERIES[1:]]
    assert of(backwards) == of(QUERIES)


def test_a_row_has_the_numbers_as_text():
    assert of(QUERIES).as_row("mine") == {
        "annotations": "mine",
        "recordings": "2",
        "queries": "3",
        "recording, s": "62/80/98, mean 80",
        "window, s": "2.6/13.2/37.1, mean 17.1",
        "windows a query": "1/1/1.9, mean 1.33",
        "covered, %": "15.4/34.2/39.4, mean 29.2",
        "gap, s": "8/8/8, mean 8",
        "up to 2 s, %": "25.0",
        "over 30 s, %": "25.0",
        "one window, %": "66.7",
        "three or more, %": "0.0",
        "whole seconds, %": "87.5",
        "shared, %": "40.5",
    }


def test_annotations_without_answers_are_refused():
    with pytest.raises(DataError) as error:
        of([Query(1, "a dog", "a", 60.0, ())])
    assert str(error.value) == (
        "mine: no query has a window inside its recording, so there is nothing to count. "
        "Name annotations whose ground truth is public."
    )


class Planned(Dataset):
    """Two splits that know their queries without audio."""

    def splits(self):
        return ["train", "test"]

    def size(self, split):
        return {"train": 2, "test": 1}[split]

    def recording(self, split, index):
        raise AssertionError("no audio is needed")

    def queries(self, split, index):
        return [Query(f"{split}{index}", "a dog", f"{split}{index}", 60.0, ((0.0, 1.0),))]

    def fingerprint(self):
        return ""


class Part:
    use = "planned"

    def __init__(self, dataset):
        self.dataset = dataset

    def build(self):
        return self.dataset


def test_queries_of_generated_sets_are_known_without_audio():
    found = {split: [query.qid for query in queries] for split, queries in known_queries(Part(Planned()))}
    assert found == {"train": ["train0", "train1"], "test": ["test0"]}


def test_sets_whose_queries_come_with_the_audio_are_refused():
    with pytest.raises(DataError) as error:
        list(known_queries(Part(object())))
    assert str(error.value) == (
        "the data set 'planned' knows its queries only when its recordings are made. Write them with "
        "'amrbench data synthesize', and name the annotations.jsonl."
    )
