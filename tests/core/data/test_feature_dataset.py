from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from amrbench.data.collate import normalize_rows, pad
from amrbench.data.feature_dataset import (
    FeatureDataset,
    epoch_order,
    load_dataset,
    usable_windows,
    visit_rngs,
    with_shuffled_queries,
)
from amrbench.errors import DataError
from amrbench.types import FeatureWidths, Limits, Query

Rows = NDArray[np.float32]
LIMITS = Limits(frames=300, words=32)


@dataclass
class Drawn:
    """A source in memory: rows drawn from the id."""

    queries: Sequence[Query]
    name: str = "here"
    encoder: str = "toy"
    hop: float = 1.0
    widths: FeatureWidths = field(default=FeatureWidths(4, 3))
    surplus: int = 0
    checked: int = 0

    @property
    def place(self) -> str:
        return f"/data/{self.name}"

    @property
    def fingerprint(self) -> str:
        return self.name

    def check(self) -> None:
        self.checked += 1

    def audio(self, vid: str) -> Rows:
        seconds = next(query.duration for query in self.queries if query.vid == vid)
        return drawn(vid, int(seconds / self.hop) + self.surplus, 4)

    def text_key(self, query: Query) -> str:
        return query.query

    def text(self, query: Query) -> Rows:
        return drawn(query.query, len(query.query.split()), 3)


def drawn(name: str, count: int, width: int) -> Rows:
    rng = np.random.default_rng(list(name.encode()))
    return rng.normal(size=(count, width)).astype(np.float32)


def query(number: int, vid: str, duration: float, *windows: tuple[float, float], text: str = "") -> Query:
    said = text or "word " * (number % 4 + 1)
    return Query(f"q{number}", said.strip(), vid, duration, windows)


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
    return load_dataset([Drawn(QUERIES)], LIMITS)


# ---------------------------------------------------------------- batches


def test_a_batch_holds_normalised_rows_and_zeros(split: FeatureDataset) -> None:
    batch = split.batch([4, 0, 1])
    source = Drawn(QUERIES)
    assert batch.audio.shape == (3, 10, 4)
    assert batch.text.shape == (3, 2, 3)
    for place, number in enumerate([4, 0, 1]):
        for rows, mask, truth in (
            (batch.audio[place], batch.audio_mask[place], source.audio(QUERIES[number].vid)),
            (batch.text[place], batch.text_mask[place], source.text(QUERIES[number])),
        ):
            count = len(truth)
            norms = np.sqrt((truth.astype(np.float64) ** 2).sum(1, keepdims=True))
            np.testing.assert_allclose(rows[:count], truth / (norms + 1e-5), rtol=1e-6)
            assert rows[count:].abs().sum() == 0
            assert mask.tolist() == [True] * count + [False] * (len(rows) - count)


def test_recordings_are_equal_where_queries_share_one(split: FeatureDataset) -> None:
    recording = split.batch(range(6)).recording
    vids = [each.vid for each in QUERIES]
    same = (recording[:, None] == recording).tolist()
    assert same == [[one == other for other in vids] for one in vids]


def test_company_in_the_batch_changes_no_real_row(split: FeatureDataset) -> None:
    alone, together = split.batch([1]), split.batch([3, 1, 0])
    assert torch.equal(together.audio[1, :6], alone.audio[0])
    assert torch.equal(together.text[1, :2], alone.text[0])


def test_limits_cut_rows(split: FeatureDataset) -> None:
    cut = load_dataset([Drawn(QUERIES)], Limits(frames=8, words=2))
    assert [cut.frames(place) for place in range(6)] == [8, 6, 8, 8, 6, 8]
    batch = cut.batch([3])
    assert torch.equal(batch.audio[0], split.batch([3]).audio[0, :8])
    assert batch.text.shape[1] == 2
    assert cut.fingerprint != split.fingerprint


def test_zero_rows_stay_zero_and_small_ones_are_damped() -> None:
    rows = normalize_rows(np.array([[0, 0], [3, 4], [3e-5, 4e-5]], np.float32))
    np.testing.assert_allclose(rows, [[0, 0], [0.6, 0.8], [0.5, 2 / 3]], rtol=1e-5)


def test_recordings_and_sentences_are_held_once(split: FeatureDataset) -> None:
    assert split.audio.flat.shape == (10 + 6 + 20, 4)
    assert len(split.text) == len({each.query for each in QUERIES})
    assert split.widths == FeatureWidths(4, 3)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_padding_equals_its_plain_twin(lengths: list[int]) -> None:
    items = [torch.full((length, 2), float(number + 1)) for number, length in enumerate(lengths)]
    found = pad(items)
    for place, item in enumerate(items):
        for row in range(max(lengths)):
            real = row < len(item)
            assert found.mask[place, row] == real
            assert found.rows[place, row].tolist() == (item[row].tolist() if real else [0, 0])


# ---------------------------------------------------------------- training


@dataclass(frozen=True)
class Facts:
    spans: Rows
    relevant: NDArray[np.bool_]
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]


def facts(about: Query, frames: int, hop: float, rng: np.random.Generator) -> Facts:
    spans = np.array([[start, end] for start, end in about.windows], np.float32)
    relevant = np.arange(frames) * hop < about.windows[0][1]
    return Facts(spans, relevant, rng.integers(0, 1000, 2), np.array([frames, 0]))


def doubled(rows: Rows, about: Query, hop: float, rng: np.random.Generator) -> tuple[Rows, Query]:
    return np.concatenate([rows, rows + rng.random(dtype=np.float32)]), replace(about, windows=((0.0, 1.0),))


def test_targets_come_padded_from_the_labels(split: FeatureDataset) -> None:
    _, target = split.training_batch([0, 1], labels=facts, augments=[], rng_of=visit_rngs(0, 0))
    assert target.spans.tolist() == [[[1, 3], [0, 0]], [[0, 1], [4, 6]]]
    assert target.spans_mask.tolist() == [[True, False], [True, True]]
    assert target.relevant.shape == (2, 10)
    assert target.relevant.sum(1).tolist() == [3, 1]
    assert target.negatives.tolist() == [[10, 0], [6, 0]]
    assert target.positives.dtype == torch.int64


def test_without_augments_training_sees_the_same_batch(split: FeatureDataset) -> None:
    batch, _ = split.training_batch([1, 0], labels=facts, augments=[], rng_of=visit_rngs(0, 0))
    plain = split.batch([1, 0])
    for name in ("audio", "audio_mask", "text", "text_mask", "recording"):
        assert torch.equal(getattr(batch, name), getattr(plain, name))


def test_augments_are_applied_in_order_and_leave_the_split_alone(split: FeatureDataset) -> None:
    before = split.audio.flat.clone()
    batch, target = split.training_batch(
        [4], labels=facts, augments=[doubled, doubled], rng_of=visit_rngs(1, 2)
    )
    rng = visit_rngs(1, 2)(4)
    rows, about = split.batch([4]).audio[0].numpy(), QUERIES[4]
    for _ in range(2):
        rows, about = doubled(rows, about, 1.0, rng)
    np.testing.assert_array_equal(batch.audio[0], rows)
    assert batch.audio.shape == (1, 24, 4)
    assert target.positives.tolist() == [rng.integers(0, 1000, 2).tolist()]
    assert torch.equal(split.audio.flat, before)


def test_a_visit_draws_the_same_whatever_was_drawn_before(split: FeatureDataset) -> None:
    def positives(places: list[int], epoch: int) -> list[list[int]]:
        found: list[list[int]] = split.training_batch(
            places, labels=facts, augments=[], rng_of=visit_rngs(7, epoch)
        )[1].positives.tolist()
        return found

    assert positives([0, 1, 4], 3)[1] == positives([1], 3)[0]
    assert positives([1], 3) != positives([1], 4)
    assert positives([1], 3) != positives([0], 3)


def test_queries_without_a_window_left_are_kept_out_of_training_alone(split: FeatureDataset) -> None:
    assert split.trainable.tolist() == [0, 1, 2, 4]
    assert split.untrainable == 2
    assert len(split) == 6
    assert split.queries == QUERIES
    assert split.batch([3, 5]).audio.shape == (2, 20, 4)


def test_a_split_with_nothing_to_learn_is_not_trained_on() -> None:
    deaf = load_dataset([Drawn(QUERIES[3:4] + QUERIES[5:])], LIMITS)
    with pytest.raises(DataError) as error:
        _ = deaf.trainable
    assert str(error.value) == (
        "none of 2 queries ('q3', 'q5') has a window in what is heard of its recording, so there is nothing "
        "to learn. Check the windows of the training split, and 'limits.frames' of the recipe."
    )


def test_widths_of_windows_are_shares_of_what_is_heard(split: FeatureDataset) -> None:
    np.testing.assert_allclose(split.window_widths(), [0.2, 1 / 6, 2 / 6, 0.15, 1 / 6])


@pytest.mark.parametrize(
    ("windows", "duration", "seconds", "cut", "left"),
    [
        ([(1, 2)], 10, 10, False, [(1, 2)]),
        ([(8, 11)], 10, 10, False, [(8, 11)]),  # rounded durations: a second late is kept
        ([(8, 300)], 10, 10, False, [(8, 10)]),
        ([(10, 11)], 10, 10, False, []),
        ([(10, 11)], 10, 11, False, [(10, 11)]),  # the features go on
        ([(3, 3)], 10, 10, False, []),
        ([(1, 2), (4, 9), (6, 7)], 10, 5, True, [(1, 2), (4, 5)]),
        ([], 10, 10, False, []),
    ],
)
def test_windows_are_cut_to_what_can_be_heard(
    windows: list[tuple[float, float]],
    duration: float,
    seconds: float,
    cut: bool,
    left: list[tuple[float, float]],
) -> None:
    found = usable_windows(query(0, "a", duration, *windows), seconds, cut=cut)
    assert [tuple(window) for window in found.tolist()] == left


# ---------------------------------------------------------------- order


def test_an_epoch_visits_each_query_once_in_its_own_order() -> None:
    orders = [epoch_order(50, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert all(sorted(order.tolist()) == list(range(50)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 3
    assert epoch_order(50, 0, 1).tolist() == orders[1].tolist()


# ---------------------------------------------------------------- several splits


def test_joined_splits_are_their_parts_one_after_another() -> None:
    first, second = (
        Drawn(QUERIES[:3]),
        Drawn([replace(each, vid=each.vid + "2") for each in QUERIES[3:]], "there"),
    )
    both, alone = load_dataset([first, second], LIMITS), load_dataset([second], LIMITS)
    assert [each.qid for each in both.queries] == ["q0", "q1", "q2", "q3", "q4", "q5"]
    mine, other = both.batch([3, 4]), alone.batch([0, 1])
    assert torch.equal(mine.audio, other.audio)
    assert torch.equal(mine.text, other.text)
    assert both.trainable.tolist() == [0, 1, 2, 4]
    assert len(set(both.batch(range(6)).recording.tolist())) == 4
    assert (first.checked, second.checked) == (1, 2)
    assert both.fingerprint not in (alone.fingerprint, load_dataset([second, first], LIMITS).fingerprint)


def test_joined_splits_may_not_share_a_query_or_recording() -> None:
    first = Drawn(QUERIES[:2])
    with pytest.raises(DataError, match=r"query id 'q1' stands in more than one of /data/here, /data/there"):
        load_dataset([first, Drawn([replace(QUERIES[1], vid="z")], "there")], LIMITS)
    with pytest.raises(DataError, match=r"recording 'b' stands in more than one of /data/here, /data/there"):
        load_dataset([first, Drawn([QUERIES[4]], "there")], LIMITS)


def test_joined_splits_need_one_encoder() -> None:
    other = Drawn([query(9, "z", 5)], "there", encoder="better")
    with pytest.raises(DataError, match="features of different encoders cannot be joined: 'better', 'toy'"):
        load_dataset([Drawn(QUERIES), other], LIMITS)


@pytest.mark.parametrize("surplus", [-1, 0, 1])
def test_a_row_more_or_less_than_seconds_is_usual(surplus: int) -> None:
    split = load_dataset([Drawn([query(0, "a", 4, (0, 1))], surplus=surplus)], LIMITS)
    assert split.frames(0) == 4 + surplus


@pytest.mark.parametrize("surplus", [-5, 5])
def test_features_of_another_length_are_refused(surplus: int) -> None:
    with pytest.raises(DataError, match=r"/data/here: the features of recording 'a' last .* say 10 s"):
        load_dataset([Drawn(QUERIES, surplus=surplus)], LIMITS)


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"features of recording 'a' have shape \(10, 4\), not \(1 or more, 5\)"
    ):
        load_dataset([Drawn(QUERIES, widths=FeatureWidths(5, 3))], LIMITS)


# ---------------------------------------------------------------- shuffled queries


def many(groups: list[int]) -> FeatureDataset:
    vids = [f"v{number}" for number, size in enumerate(groups) for _ in range(size)]
    queries = [query(number, vid, 5, (0, 1), text=f"text {number}") for number, vid in enumerate(vids)]
    return load_dataset([Drawn(queries)], LIMITS)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=12), st.integers(0, 3))
def test_shuffled_queries_come_from_other_recordings(groups: list[int], seed: int) -> None:
    if 2 * max(groups) > sum(groups):
        groups = [*groups, max(groups)]
    split = many(groups)
    control = with_shuffled_queries(split, seed)
    texts_of: dict[str, set[str]] = {}
    for each in split.queries:
        texts_of.setdefault(each.vid, set()).add(each.query)
    assert sorted(each.query for each in control.queries) == sorted(each.query for each in split.queries)
    for before, after in zip(split.queries, control.queries, strict=True):
        assert after.query not in texts_of[before.vid]
        assert replace(after, query=before.query) == before


def test_shuffled_queries_bring_their_features() -> None:
    split = many([2, 3, 1])
    control = with_shuffled_queries(split, 0)
    for place, each in enumerate(control.queries):
        giver = [other.query for other in split.queries].index(each.query)
        assert torch.equal(control.batch([place]).text, split.batch([giver]).text)
        assert torch.equal(control.batch([place]).audio, split.batch([place]).audio)
    assert control.fingerprint != split.fingerprint


def test_shuffling_is_a_function_of_the_seed() -> None:
    split = many([2, 3, 1, 4, 2])
    texts = [[each.query for each in with_shuffled_queries(split, seed).queries] for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_one_large_recording_cannot_be_shuffled() -> None:
    with pytest.raises(DataError, match="one recording has 3 of 5 queries"):
        with_shuffled_queries(many([3, 2]), 0)
