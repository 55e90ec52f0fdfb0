"""What is refused before anything is trained; the messages are in tests/field_cases/test_training.py."""

from dataclasses import replace
from pathlib import Path

import pytest

from amrbench.data.local_dataset import DatasetFolder, PublishedSplit
from amrbench.data.required_splits import FeatureRequest
from amrbench.data.usable_splits import (
    KnownSplit,
    annotated_splits,
    note_left_out,
    refuse_known_answers,
    refuse_missing_recordings,
    refuse_unusable,
)
from amrbench.errors import DataError, RunError
from amrbench.files.annotations import write_annotations
from amrbench.notes import collected_notes
from amrbench.slots.data import DatasetPart
from amrbench.slots.model import Limits
from amrbench.types import Query
from tests.small_world.data import Events, OneHot, drawn_source
from tests.small_world.parts import PROTOCOL
from tests.small_world.runs import changed, request_of


def known_splits(splits, sources):
    return {split.key: KnownSplit.of_source(split, sources[split.key]) for split in splits.all}


def test_the_small_world_can_be_used(toy_sources):
    splits = request_of().splits
    refuse_unusable(splits, known_splits(splits, toy_sources))


def test_nothing_is_asked_of_splits_that_are_not_known():
    refuse_unusable(request_of().splits, {})


@pytest.mark.parametrize("stage", [0, 1])
@pytest.mark.parametrize(
    ("use", "text"), [("train", "has nothing to learn"), ("val", "so no epoch can be chosen by it")]
)
def test_every_stage_needs_windows(toy_sources, stage, use, text):
    splits = request_of().splits
    role = splits.resolved.stages[stage].data
    request = splits.training(role)[0] if use == "train" else splits.selection(role)
    known = known_splits(splits, toy_sources)
    source = toy_sources[request.key]
    queries = tuple(replace(query, windows=((2.0, 2.0),)) for query in source.queries)
    known[request.key] = KnownSplit.of_source(request, replace(source, queries=queries))
    with pytest.raises(DataError, match=text) as error:
        refuse_unusable(splits, known)
    assert str(error.value).startswith(f"{request.source}: none of")


def test_the_duration_of_every_query_is_compared_with_the_features(toy_sources):
    """Another query about the recording may have another one."""
    splits = request_of().splits
    known, request = known_splits(splits, toy_sources), splits.report
    first, *others = toy_sources[request.key].queries
    assert first.vid in {query.vid for query in others}
    wrong = replace(first, duration=10 * first.duration)
    source = replace(toy_sources[request.key], queries=(wrong, *others))
    known[request.key] = KnownSplit.of_source(request, source)
    with pytest.raises(DataError) as error:
        refuse_unusable(splits, known)
    assert str(error.value) == (
        f"{source.location}: the features of recording {first.vid!r} last {first.duration:g} s, but the "
        f"annotations say {10 * first.duration:g} s. Check that annotations and features belong together."
    )


def test_one_usable_query_is_enough(toy_sources):
    splits = request_of().splits
    known = known_splits(splits, toy_sources)
    for request in splits.all:
        first, *others = toy_sources[request.key].queries
        queries = (first, *(replace(query, windows=((2.0, 2.0),)) for query in others))
        known[request.key] = KnownSplit.of_source(request, replace(toy_sources[request.key], queries=queries))
    refuse_unusable(splits, known)


def test_a_reported_split_without_ground_truth_is_not_refused(toy_sources):
    splits = request_of(protocol=PROTOCOL | {"slices": []}).splits
    known, source = known_splits(splits, toy_sources), toy_sources[splits.report.key]
    queries = tuple(replace(query, windows=()) for query in source.queries)
    known[splits.report.key] = KnownSplit.of_source(splits.report, replace(source, queries=queries))
    refuse_unusable(splits, known)
    with collected_notes() as notes:
        note_left_out(splits, known)
    assert notes == [], "nothing is scored"


def test_queries_that_training_or_scoring_leaves_out_are_noted_once_for_a_split(toy_sources):
    splits = request_of().splits
    known = known_splits(splits, toy_sources)
    with collected_notes() as notes:
        note_left_out(splits, known)
    assert notes == []
    for request in splits.all:
        first, second, *others = toy_sources[request.key].queries
        queries = (replace(first, windows=()), replace(second, windows=((2.0, 2.0),)), *others)
        known[request.key] = KnownSplit.of_source(request, replace(toy_sources[request.key], queries=queries))
    with collected_notes() as notes:
        note_left_out(splits, known)
    *trained, scored = notes
    assert scored == (
        "toy test: of the split that is scored, 2 queries without a window longer than 0 s and at most "
        "1500 s were left out."
    )
    assert trained == [
        f"toy {name}train: training leaves out 2 of 24 queries, which have no window inside the feature rows "
        f"of their recording: '{vid}-train-0-0', '{vid}-train-0-1'."
        for name, vid in (("name=pre ", "pre"), ("", "target"))
    ]


def test_splits_that_are_joined_may_not_share_a_recording(toy_sources):
    protocol = changed(PROTOCOL, splits={"train": ["train", "test"], "select": "val", "report": "none"})
    splits = request_of(protocol=protocol | {"slices": []}).splits
    train, test = splits.training("target")
    known = {request.key: KnownSplit.of_source(request, toy_sources[train.key]) for request in (train, test)}
    with pytest.raises(DataError, match="is in more than one of toy train, toy test"):
        refuse_unusable(splits, known)


def test_known_answers_are_refused_without_features(toy_sources):
    splits = request_of().splits
    scored = toy_sources[splits.report.key].queries
    with pytest.raises(RunError, match=r"tiny\.yaml: the split 'test' .* 'finetune' selects on 3 of its 24"):
        refuse_known_answers(splits, {splits.report.key: scored, splits.selection("target").key: scored[:3]})


@pytest.mark.parametrize("spelled", ["A  dog, caf\u00e9", "a dog, cafe\u0301.", "a dog, caf\u00e9 "])
def test_known_answers_are_refused_however_they_are_spelled(spelled):
    splits = request_of().splits
    scored, known = (Query(1, "a dog, caf\u00e9", "\u00e9", 9.0, ()), Query(2, spelled, "e\u0301", 9.0, ()))
    with pytest.raises(RunError, match=r"'finetune' selects on 1 of its 1 queries"):
        refuse_known_answers(splits, {splits.report.key: [scored], splits.selection("target").key: [known]})
    other = replace(known, query="a cat, caf\u00e9")
    refuse_known_answers(splits, {splits.report.key: [scored], splits.selection("target").key: [other]})


def query(duration, *windows):
    return Query("q", "a dog", "v", duration, windows)


@pytest.mark.parametrize(
    ("duration", "window", "trainable"),
    [
        (20.0, (1.0, 2.0), True),
        (20.0, (12.0, 14.0), False),
        (20.0, (3.0, 3.0), False),
        (8.0, (7.0, 9.0), True),
    ],
)
def test_without_features_the_rows_are_estimated_from_the_duration(duration, window, trainable):
    asked, limits = query(duration, window), Limits(frames=10, words=8)
    split = KnownSplit(None, [asked], 1.0)
    assert split.is_trainable(asked, limits) == trainable
    assert KnownSplit(None, [asked], 1.0, drawn_source([asked])).is_trainable(asked, limits) == trainable


class Own(DatasetPart):
    """A folder with annotations of one split."""

    use = "own"
    folder: str

    def build(self):
        raise NotImplementedError

    @property
    def dataset_folder(self):
        return DatasetFolder(self.folder, Path(self.folder), {"val": PublishedSplit("val.jsonl")})


def test_annotation_files_are_read_where_they_are_present(tmp_path):
    requests = [
        FeatureRequest(Own(folder=str(tmp_path)), "val", OneHot()),
        FeatureRequest(Events(), "val", OneHot()),
    ]
    assert annotated_splits(requests) == {}
    write_annotations(tmp_path / "val.jsonl", [query(9.0, (0.0, 1.0))])
    (known,) = annotated_splits(requests).values()
    assert (known.location, known.hop, known.source) == (f"{tmp_path}/val.jsonl", 1.0, None)
    assert list(known.queries) == [query(9.0, (0.0, 1.0))]


def test_recordings_are_needed_where_there_are_no_features(tmp_path):
    request = FeatureRequest(Own(folder=str(tmp_path)), "val", OneHot())
    write_annotations(tmp_path / "val.jsonl", [query(9.0, (0.0, 1.0))])
    known = annotated_splits([request]).values()
    with pytest.raises(DataError, match="missing: 'v'"):
        refuse_missing_recordings(known)
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "one-hot.h5").touch()
    refuse_missing_recordings(known)
