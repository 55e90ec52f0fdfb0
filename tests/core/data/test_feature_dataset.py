from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from amrbench.data.feature_dataset import (
    Augment,
    DatasetCache,
    FeatureDataset,
    epoch_order,
    load_dataset,
    usable_windows,
    visit_rngs,
    why_not_shuffled,
    with_shuffled_queries,
)
from amrbench.data.feature_source import FeatureSource
from amrbench.errors import DataError
from amrbench.slots.model import Limits
from amrbench.types import FeatureWidths, Query, Rows
from tests.oracle import batches_by_hand
from tests.small_world.data import drawn_source

LIMITS = Limits(frames=300, words=32)


def query(number: int, vid: str, duration: float, *windows: tuple[float, float], text: str = "") -> Query:
    sentence = text or " ".join(["word"] * (number % 4 + 1))
    return Query(f"q{number}", sentence, vid, duration, windows)


QUERIES = (
    query(0, "a", 10, (1, 3)),
    query(1, "b", 6, (0, 1), (4, 9)),
    query(2, "a", 10, (9, 10.5)),
    query(3, "c", 20, (30, 40)),
    query(4, "b", 6, (2, 3)),
    query(5, "c", 20),
)


@pytest.fixture
def split() -> FeatureDataset:
    return load_dataset([drawn_source(QUERIES)], LIMITS)


# ---------------------------------------------------------------- batches


def test_a_batch_holds_normalised_rows_and_zeros(split: FeatureDataset) -> None:
    batch = split.batch([4, 0, 1])
    source = drawn_source(QUERIES)
    assert batch.audio.shape == (3, 10, 4)
    assert batch.text.shape == (3, 2, 3)
    for row, index in enumerate([4, 0, 1]):
        for rows, mask, expected in (
            (batch.audio[row], batch.audio_mask[row], source.audio(QUERIES[index].vid)),
            (batch.text[row], batch.text_mask[row], source.text(QUERIES[index])),
        ):
            count = len(expected)
            norms = np.sqrt((expected.astype(np.float64) ** 2).sum(1, keepdims=True))
            np.testing.assert_allclose(rows[:count], expected / (norms + 1e-5), rtol=1e-6)
            assert rows[count:].abs().sum() == 0
            assert mask.tolist() == [True] * count + [False] * (len(rows) - count)


def test_recordings_are_equal_where_queries_share_one(split: FeatureDataset) -> None:
    recording = split.batch(range(6)).recording
    vids = [query.vid for query in QUERIES]
    same = (recording[:, None] == recording).tolist()
    assert same == [[one == other for other in vids] for one in vids]


def test_other_queries_in_the_batch_change_no_real_row(split: FeatureDataset) -> None:
    alone, together = split.batch([1]), split.batch([3, 1, 0])
    assert torch.equal(together.audio[1, :6], alone.audio[0])
    assert torch.equal(together.text[1, :2], alone.text[0])


def test_limits_cut_rows(split: FeatureDataset) -> None:
    cut = load_dataset([drawn_source(QUERIES)], Limits(frames=8, words=2))
    assert [cut.frames(index) for index in range(6)] == [8, 6, 8, 8, 6, 8]
    batch = cut.batch([3])
    assert torch.equal(batch.audio[0], split.batch([3]).audio[0, :8])
    assert batch.text.shape[1] == 2


def test_recordings_and_sentences_are_stored_once(split: FeatureDataset) -> None:
    assert [tuple(rows.shape) for rows in split.audio] == [(10, 4), (6, 4), (20, 4)]
    assert len(split.text) == len({query.query for query in QUERIES})
    assert split.widths == FeatureWidths(4, 3)


# ---------------------------------------------------------------- training


@dataclass(frozen=True)
class ToyLabels:
    spans: Rows
    relevant: NDArray[np.bool_]
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]


def label(query: Query, frames: int, hop: float, rng: np.random.Generator) -> ToyLabels:
    spans = np.array([[start, end] for start, end in query.windows], np.float32)
    relevant = np.arange(frames) * hop < query.windows[0][1]
    return ToyLabels(spans, relevant, rng.integers(0, 1000, 2), np.array([frames, 0]))


def doubled(rows: Rows, query: Query, hop: float, rng: np.random.Generator) -> tuple[Rows, Query]:
    return np.concatenate([rows, rows + rng.random(dtype=np.float32)]), replace(query, windows=((0.0, 1.0),))


def test_targets_come_padded_from_the_labels(split: FeatureDataset) -> None:
    _, target = split.training_batch([0, 1], labels=label, augments=[], rng_of=visit_rngs(0, 0))
    assert target.spans.tolist() == [[[1, 3], [0, 0]], [[0, 1], [4, 6]]]
    assert target.spans_mask.tolist() == [[True, False], [True, True]]
    assert target.relevant.shape == (2, 10)
    assert target.relevant.sum(1).tolist() == [3, 1]
    assert target.negatives.tolist() == [[10, 0], [6, 0]]
    assert target.positives.dtype == torch.int64


def test_without_augments_training_sees_the_same_batch(split: FeatureDataset) -> None:
    batch, _ = split.training_batch([1, 0], labels=label, augments=[], rng_of=visit_rngs(0, 0))
    plain = split.batch([1, 0])
    for name in ("audio", "audio_mask", "text", "text_mask", "recording"):
        assert torch.equal(getattr(batch, name), getattr(plain, name))


def test_augments_are_applied_in_order_and_leave_the_split_alone(split: FeatureDataset) -> None:
    before = [rows.clone() for rows in split.audio]
    batch, target = split.training_batch(
        [4], labels=label, augments=[doubled, doubled], rng_of=visit_rngs(1, 2)
    )
    rng = visit_rngs(1, 2)(4)
    rows, augmented = split.batch([4]).audio[0].numpy(), QUERIES[4]
    for _ in range(2):
        rows, augmented = doubled(rows, augmented, 1.0, rng)
    np.testing.assert_array_equal(batch.audio[0], rows)
    assert batch.audio.shape == (1, 24, 4)
    assert target.positives.tolist() == [rng.integers(0, 1000, 2).tolist()]
    assert all(map(torch.equal, split.audio, before))


def test_rows_of_a_query_are_those_of_its_recording_and_sentence(split: FeatureDataset) -> None:
    for index in range(len(split)):
        batch = split.batch([index])
        np.testing.assert_array_equal(split.audio_rows(index), batch.audio[0])
        np.testing.assert_array_equal(split.word_rows(index), batch.text[0])
    assert np.shares_memory(split.audio_rows(0), split.audio_rows(2))  # of one recording


@pytest.mark.parametrize("augments", [[], [doubled]])
@pytest.mark.parametrize("frames", [8, 300])
def test_batches_equal_their_plain_twin(frames: int, augments: list[Augment]) -> None:
    dataset = load_dataset([drawn_source(QUERIES)], Limits(frames=frames, words=32))
    for indices in ([0, 1, 4], [4], [1, 1, 2]):
        indices = [index for index in indices if index in dataset.trainable]
        batch, target = dataset.training_batch(
            indices, labels=label, augments=augments, rng_of=visit_rngs(3, 1)
        )
        plain, drawn = batches_by_hand.training_batch(
            dataset, indices, labels=label, augments=augments, visit=(3, 1)
        )
        for one, two in ((batch, plain), (target, drawn)):
            assert all(torch.equal(getattr(one, name), getattr(two, name)) for name in vars(two))


@given(st.integers(0, 2**70), st.integers(0, 2**33), st.integers(0, 2**33))
def test_generators_of_visits_are_those_of_a_tuple(seed: int, epoch: int, index: int) -> None:
    drawn = visit_rngs(seed, epoch)(index).integers(0, 2**63, 4)
    assert drawn.tolist() == np.random.default_rng((2, seed, epoch, index)).integers(0, 2**63, 4).tolist()


def test_a_visit_draws_the_same_whatever_was_drawn_before(split: FeatureDataset) -> None:
    def positives(indices: list[int], epoch: int) -> list[list[int]]:
        _, target = split.training_batch(indices, labels=label, augments=[], rng_of=visit_rngs(7, epoch))
        frames: list[list[int]] = target.positives.tolist()
        return frames

    assert positives([0, 1, 4], 3)[1] == positives([1], 3)[0]
    assert positives([1], 3) != positives([1], 4)
    assert positives([1], 3) != positives([0], 3)


def test_queries_without_a_usable_window_are_left_out_of_training_only(split: FeatureDataset) -> None:
    assert split.trainable.tolist() == [0, 1, 2, 4]
    assert len(split) == 6
    assert split.queries == QUERIES
    assert split.batch([3, 5]).audio.shape == (2, 20, 4)


def test_a_split_with_nothing_to_learn_is_not_trained_on() -> None:
    split = load_dataset([drawn_source(QUERIES[3:4] + QUERIES[5:])], LIMITS)
    with pytest.raises(DataError) as error:
        _ = split.trainable
    assert str(error.value) == (
        "none of 2 queries ('q3', 'q5') has a window inside the feature rows of its recording, so there is "
        "nothing to learn. Check the windows of the training split, and 'limits.frames' of the recipe."
    )


def test_widths_of_windows_are_fractions_of_the_feature_rows(split: FeatureDataset) -> None:
    np.testing.assert_allclose(split.window_widths(), [0.2, 1 / 6, 2 / 6, 0.15, 1 / 6])


@pytest.mark.parametrize(
    ("windows", "duration", "seconds", "cut", "usable"),
    [
        ([(1, 2)], 10, 10, False, [(1, 2)]),
        ([(8, 11)], 10, 10, False, [(8, 11)]),  # rounded durations: a second late is kept
        ([(8, 300)], 10, 10, False, [(8, 10)]),
        ([(10, 11)], 10, 10, False, []),
        ([(10, 11)], 10, 11, False, [(10, 11)]),  # the features are longer than annotated
        ([(3, 3)], 10, 10, False, []),
        ([(1, 2), (4, 9), (6, 7)], 10, 5, True, [(1, 2), (4, 5)]),
        ([], 10, 10, False, []),
    ],
)
def test_windows_are_cut_to_the_feature_rows(
    windows: list[tuple[float, float]],
    duration: float,
    seconds: float,
    cut: bool,
    usable: list[tuple[float, float]],
) -> None:
    result = usable_windows(query(0, "a", duration, *windows), seconds, cut=cut)
    assert [tuple(window) for window in result.tolist()] == usable


# ---------------------------------------------------------------- order


def test_an_epoch_visits_each_query_once_in_its_own_order() -> None:
    orders = [epoch_order(50, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert all(sorted(order.tolist()) == list(range(50)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 3
    assert epoch_order(50, 0, 1).tolist() == orders[1].tolist()


# ---------------------------------------------------------------- several splits


def test_joined_splits_are_their_parts_one_after_another() -> None:
    first = drawn_source(QUERIES[:3])
    second = drawn_source([replace(query, vid=query.vid + "2") for query in QUERIES[3:]], "there")
    both, alone = load_dataset([first, second], LIMITS), load_dataset([second], LIMITS)
    assert [query.qid for query in both.queries] == ["q0", "q1", "q2", "q3", "q4", "q5"]
    joined, separate = both.batch([3, 4]), alone.batch([0, 1])
    assert torch.equal(joined.audio, separate.audio)
    assert torch.equal(joined.text, separate.text)
    assert both.trainable.tolist() == [0, 1, 2, 4]
    assert len(set(both.batch(range(6)).recording.tolist())) == 4
    verified = [len(source.encoded[0].audio.verified) for source in (first, second)]
    assert verified == [1, 2], "rows are verified each time they are loaded"


def test_ids_may_start_again_in_joined_splits() -> None:
    again = [replace(query, vid=f"{query.vid}2", query=f"no {query.query}") for query in QUERIES]
    both = load_dataset([drawn_source(QUERIES), drawn_source(again, "there")], LIMITS)
    alone, count = load_dataset([drawn_source(again, "there")], LIMITS), len(QUERIES)
    joined, separate = both.batch(range(count, 2 * count)), alone.batch(range(count))
    assert torch.equal(joined.audio, separate.audio)
    assert torch.equal(joined.text, separate.text)


def test_joined_splits_may_not_share_a_recording() -> None:
    first = drawn_source(QUERIES[:2])
    with pytest.raises(DataError, match=r"recording 'b' is in more than one of /data/here, /data/there"):
        load_dataset([first, drawn_source([QUERIES[4]], "there")], LIMITS)


def test_joined_splits_need_one_encoder() -> None:
    other = drawn_source([query(9, "z", 5)], "there", encoder="better")
    with pytest.raises(DataError, match="features of different encoders cannot be joined: 'better', 'toy'"):
        load_dataset([drawn_source(QUERIES), other], LIMITS)


@pytest.mark.parametrize("surplus", [-1, 0, 1])
def test_a_row_more_or_less_than_seconds_is_accepted(surplus: int) -> None:
    split = load_dataset([drawn_source([query(0, "a", 4, (0, 1))], surplus=surplus)], LIMITS)
    assert split.frames(0) == 4 + surplus


@pytest.mark.parametrize("surplus", [-5, 5])
def test_features_of_another_length_are_refused(surplus: int) -> None:
    with pytest.raises(DataError, match=r"/data/here: the features of recording 'a' last .* say 10 s"):
        load_dataset([drawn_source(QUERIES, surplus=surplus)], LIMITS)


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"features of recording 'a' have shape \(10, 4\), not \(1 or more, 5\)"
    ):
        load_dataset([drawn_source(QUERIES, widths=FeatureWidths(5, 3))], LIMITS)


# ---------------------------------------------------------------- kept in memory


def one_recording(number: int) -> FeatureSource:
    return drawn_source([query(number, f"v{number}", 5, (0, 1))], f"split {number}")


def test_a_dataset_is_loaded_once_whichever_object_asks_for_it() -> None:
    cache = DatasetCache()
    dataset = cache.load([one_recording(0)], LIMITS)
    assert cache.load((one_recording(0),), Limits(frames=300, words=32)) is dataset
    assert cache.load([one_recording(0)], Limits(frames=3)) is not dataset
    assert cache.load([one_recording(0), one_recording(1)], LIMITS) is not dataset


def test_the_dataset_that_was_not_used_for_longest_is_dropped() -> None:
    cache = DatasetCache()
    first, second, *_ = [cache.load([one_recording(number)], LIMITS) for number in range(4)]
    assert cache.load([one_recording(0)], LIMITS) is first
    cache.load([one_recording(4)], LIMITS)
    assert cache.load([one_recording(0)], LIMITS) is first
    assert cache.load([one_recording(1)], LIMITS) is not second


# ---------------------------------------------------------------- shuffled queries


def many(groups: list[int]) -> FeatureDataset:
    vids = [f"v{number}" for number, size in enumerate(groups) for _ in range(size)]
    queries = [query(number, vid, 5, (0, 1), text=f"text {number}") for number, vid in enumerate(vids)]
    return load_dataset([drawn_source(queries)], LIMITS)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=12), st.integers(0, 3))
def test_shuffled_queries_come_from_other_recordings(groups: list[int], seed: int) -> None:
    if 2 * max(groups) > sum(groups):
        groups = [*groups, max(groups)]
    split = many(groups)
    control = with_shuffled_queries(split, seed)
    texts_of: dict[str, set[str]] = {}
    for query in split.queries:
        texts_of.setdefault(query.vid, set()).add(query.query)
    assert sorted(query.query for query in control.queries) == sorted(query.query for query in split.queries)
    for before, after in zip(split.queries, control.queries, strict=True):
        assert after.query not in texts_of[before.vid]
        assert replace(after, query=before.query) == before


def test_shuffled_queries_have_the_features_of_their_new_text() -> None:
    split = many([2, 3, 1])
    control = with_shuffled_queries(split, 0)
    for index, query in enumerate(control.queries):
        giver = [other.query for other in split.queries].index(query.query)
        assert torch.equal(control.batch([index]).text, split.batch([giver]).text)
        assert torch.equal(control.batch([index]).audio, split.batch([index]).audio)


def test_shuffling_is_a_function_of_the_seed() -> None:
    split = many([2, 3, 1, 4, 2])
    texts = [[query.query for query in with_shuffled_queries(split, seed).queries] for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ([3], "there is no recording but 'v0', and sentences are exchanged between recordings"),
        (
            [1, 3],
            "3 of the 4 queries are about the recording 'v1', and sentences are exchanged between "
            "recordings, so none may have more than half of them",
        ),
        ([2, 2], ""),
        ([1, 1, 1], ""),
    ],
)
def test_why_queries_cannot_be_shuffled(groups: list[int], reason: str) -> None:
    queries = many(groups).queries
    assert why_not_shuffled(queries) == reason
    if not reason:
        same = [replace(query, query="a dog") for query in queries]
        assert why_not_shuffled(same) == f"all {len(queries)} queries have the same sentence"


def test_one_large_recording_cannot_be_shuffled() -> None:
    with pytest.raises(DataError, match=r"shuffled: 3 of the 5 queries are about the recording 'v0', and"):
        with_shuffled_queries(many([3, 2]), 0)
