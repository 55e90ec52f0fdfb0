"""A split for a dry run, with the features of a few recordings where it has none."""

import pytest

from amrbench.data.required_splits import FeatureRequest
from amrbench.data.usable_splits import KnownSplit
from amrbench.tools.sampled_split import RECORDINGS, recordings_to_sample, sample_split
from amrbench.types import Query
from tests.small_world.data import Events, OneHot
from tests.small_world.runs import Recorder

REQUEST = FeatureRequest(Events(name="target"), "val", OneHot())


def test_a_split_with_features_is_taken_whole(toy_cache, toy_sources):
    recorder = Recorder()
    sample = sample_split(REQUEST, toy_cache, recorder)
    assert (sample.forecast.present, sample.scale, recorder.notes) == (True, 1.0, [])
    assert sample.queries == sample.source.queries == toy_sources[REQUEST.key].queries
    assert sample.source.fingerprint == toy_sources[REQUEST.key].fingerprint


def test_a_few_recordings_are_encoded_where_there_are_none(tmp_path, toy_sources):
    recorder = Recorder()
    sample = sample_split(REQUEST, tmp_path, recorder)
    whole = toy_sources[REQUEST.key]
    assert sample.forecast.present is False
    assert recorder.notes == ["toy val for one-hot: encoding 4 of 12 recordings"]
    assert sample.source.queries == whole.queries[: 2 * RECORDINGS]
    assert sample.queries == sample.source.queries
    assert sample.scale == 3.0
    assert sample.source.fingerprint == whole.fingerprint
    assert len(sample.source.audio(whole.queries[0].vid)) == 12
    assert not list(tmp_path.iterdir())


def test_annotations_that_are_known_are_planned_with(tmp_path, toy_sources):
    whole = toy_sources[REQUEST.key]
    annotated = KnownSplit(REQUEST, whole.queries, 1.0)
    sample = sample_split(REQUEST, tmp_path, Recorder(), annotated)
    assert len(sample.source.queries) == 2 * RECORDINGS
    assert (sample.queries, sample.scale) == (whole.queries, 1.0)
    assert sample.planned.queries == whole.queries
    assert sample.planned.fingerprint == whole.fingerprint


def queries(*windows):
    return [Query(number, "a", f"v{number}", 9.0, own) for number, own in enumerate(windows)]


@pytest.mark.parametrize(
    ("windows", "indices"),
    [
        ([((0.0, 1.0),)] * 6, [0, 1, 2, 3]),
        ([(), ((2.0, 2.0),), ((0.0, 1.0),), ((9.5, 9.9),), ((3.0, 4.0),)], [2, 4]),
        ([()] * 5, [0, 1, 2, 3]),
        ([()], [0]),
    ],
)
def test_recordings_with_something_to_learn_are_sampled_first(windows, indices):
    assert recordings_to_sample(queries(*windows)) == indices


def test_a_recording_is_sampled_if_one_of_its_queries_can_be_trained_on():
    first, second = queries((), ((0.0, 1.0),))
    again = [first, Query("b", "b", first.vid, 9.0, ((0.0, 1.0),)), second]
    assert recordings_to_sample(again) == [0, 1]
