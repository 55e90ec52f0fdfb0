from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amrbench.functional import targets
from amrbench.types import Query
from tests.folders import DATA

GOLDEN: dict[str, Any] = json.loads((DATA / "cgdetr" / "targets.json").read_text())
CASES = GOLDEN["cases"]
LIMIT = GOLDEN["max_windows"]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def windows_of(case: dict[str, Any]) -> targets.Floats:
    return targets.as_windows(case["windows"])


def test_the_golden_cases_are_all_there() -> None:
    assert len(CASES) == 243
    assert sum("shuffled" in case for case in CASES) > 20


def test_spans_equal_the_reference() -> None:
    for case in CASES:
        spans = targets.spans_of(windows_of(case), case["frames"], case["clip_length"])
        if "shuffled" in case:
            expected = targets.spans_of(
                targets.as_windows(case["shuffled"][:LIMIT]), case["frames"], case["clip_length"]
            )
            np.testing.assert_allclose(expected, case["spans"], atol=2e-7)
            gap = np.abs(np.array(case["spans"])[:, None] - spans).max(-1).min(1)
            assert gap.max() < 2e-7
        else:
            assert len(spans) <= LIMIT
            np.testing.assert_allclose(spans, case["spans"], rtol=1e-6, atol=2e-7)
        assert spans.dtype == np.float32


def test_a_drawn_subset_is_one_that_the_reference_could_draw() -> None:
    for case in CASES:
        windows = windows_of(case)
        drawn = targets.draw_windows(windows, LIMIT, generator())
        assert len(drawn) == len(case["spans"]) == min(len(windows), LIMIT)
        rows = {tuple(row) for row in drawn}
        assert len(rows) == len(drawn)
        assert rows <= {tuple(row) for row in windows}


def test_labels_of_the_first_window_equal_the_reference() -> None:
    for case in CASES:
        labels = targets.label_windows(windows_of(case)[:1], case["duration"], case["frames"])
        assert labels.shape == (case["frames"],)
        assert np.flatnonzero(labels).tolist() == list(range(case["first"], case["last"] + 1))


def test_frame_range_with_the_hop_as_unit_equals_the_reference() -> None:
    for case in CASES:
        covered = targets.frame_range(case["windows"][0], case["clip_length"], case["frames"])
        assert covered == (case["first_of_clip_unit"], case["last_of_clip_unit"])


def test_pairs_come_from_the_sets_that_the_reference_draws_from() -> None:
    for case in CASES:
        labels = targets.label_windows(windows_of(case)[:1], case["duration"], case["frames"])
        inside, outside = set(np.flatnonzero(labels)), set(np.flatnonzero(~labels))
        pairs = targets.draw_pairs(labels, 2, generator())
        for positives, negatives in (
            (pairs.positives.tolist(), pairs.negatives.tolist()),
            (case["positives"], case["negatives"]),
        ):
            assert len(positives) == len(negatives) == 2
            assert set(positives) <= inside
            assert len(set(positives)) == min(2, len(inside))
            if len(outside) >= 2:
                assert set(negatives) <= outside
                assert len(set(negatives)) == 2
            else:
                assert negatives == positives


def test_every_pair_is_drawn_sooner_or_later() -> None:
    labels = np.array([False, True, True, True, False, False, True])
    draw, seen = generator(), set()
    for _ in range(300):
        pairs = targets.draw_pairs(labels, 2, draw)
        seen.add((frozenset(pairs.positives.tolist()), frozenset(pairs.negatives.tolist())))
    assert len(seen) == 6 * 3


def test_too_few_labelled_frames_are_all_drawn_before_any_is_repeated() -> None:
    labels = np.array([True, False, True, False, False, False, False])
    pairs = targets.draw_pairs(labels, 4, generator())
    assert sorted(pairs.positives) == [0, 0, 2, 2]
    assert len(set(pairs.negatives)) == 4


def test_pairs_without_a_labelled_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="no frame is labelled"):
        targets.draw_pairs(np.zeros(3, dtype=np.bool_), 2, generator())


def test_the_same_seed_draws_the_same() -> None:
    windows = targets.as_windows([[i, i + 1] for i in range(30)])
    a, b = (targets.draw_windows(windows, 5, generator(3)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, targets.draw_windows(windows, 5, generator(4)))


def test_each_window_may_be_drawn_first() -> None:
    windows, draw = targets.as_windows([[i, i + 1] for i in range(7)]), generator()
    first = [int(targets.draw_windows(windows, 5, draw)[0, 0]) for _ in range(7000)]
    counts = np.bincount(first, minlength=7)
    assert (abs(counts - 1000) < 150).all(), "the reference shuffles the list"


def test_drawing_leaves_the_annotation_as_it_was() -> None:
    windows = targets.as_windows([[i, i + 1] for i in range(30)])
    before = windows.copy()
    targets.draw_windows(windows, 5, generator())
    np.testing.assert_array_equal(windows, before)


def slow_labels(windows: list[list[float]], duration: float, frames: int) -> list[bool]:
    unit, labels = duration / frames, [False] * frames
    for start, end in windows:
        last = max(0, min(int(end / unit), frames) - 1)
        first = min(int(start / unit), last)
        for frame in range(frames):
            labels[frame] = labels[frame] or first <= frame <= last
    return labels


def test_labels_of_all_windows_equal_the_slow_twin() -> None:
    for case in CASES:
        labels = targets.label_windows(windows_of(case), case["duration"], case["frames"])
        assert labels.tolist() == slow_labels(case["windows"], case["duration"], case["frames"])


def test_labels_of_all_windows_are_more_than_those_of_the_first() -> None:
    windows = targets.as_windows([[2, 4], [6, 7]])
    assert np.flatnonzero(targets.label_windows(windows, 10, 10)).tolist() == [2, 3, 6]
    assert np.flatnonzero(targets.label_windows(windows[:1], 10, 10)).tolist() == [2, 3]


def test_labels_follow_the_duration_and_spans_the_hop() -> None:
    windows = targets.as_windows([[10, 20]])
    assert np.flatnonzero(targets.label_windows(windows, 40, 20)).tolist() == [5, 6, 7, 8, 9]
    np.testing.assert_allclose(targets.spans_of(windows, 20, 1.0), [[0.75, 0.5]])


def test_without_windows_no_frame_is_labelled() -> None:
    none = targets.as_windows([])
    assert not targets.label_windows(none, 10, 10).any()
    assert targets.spans_of(none, 10, 1.0).shape == (0, 2)
    assert targets.clip_windows(none, 10).shape == (0, 2)


def test_a_start_before_the_recording_covers_from_the_first_frame() -> None:
    assert targets.frame_range([-3.0, 2.0], 1.0, 10) == (0, 1)


@pytest.mark.parametrize(
    ("window", "kept"),
    [
        ([10, 20], [[10, 20]]),
        ([290, 300], [[290, 300]]),
        ([299, 300], [[299, 300]]),
        ([290, 301], [[290, 299]]),
        ([299, 4800], []),
        ([12, 12], []),
        ([20, 10], []),
        ([-2, 3], [[0, 3]]),
        ([-5, -2], []),
        ([400, 401], []),
    ],
)
def test_windows_are_cut_to_the_recording(window: list[float], kept: list[list[float]]) -> None:
    cut = targets.clip_windows(targets.as_windows([window]), 299)
    np.testing.assert_array_equal(cut, targets.as_windows(kept))


def test_cutting_keeps_the_order_of_the_rest() -> None:
    cut = targets.clip_windows(targets.as_windows([[5, 9], [3, 3], [0, 2], [8, 50]]), 10)
    np.testing.assert_array_equal(cut, [[5, 9], [0, 2], [8, 10]])


def test_tolerance_zero_cuts_at_the_duration() -> None:
    cut = targets.clip_windows(targets.as_windows([[290, 300]]), 299, tolerance=0)
    np.testing.assert_array_equal(cut, [[290, 299]])


# ---------------------------------------------------------------- a whole batch

SECONDS = st.one_of(st.integers(-3, 30).map(float), st.floats(-3, 30))
WINDOWS = st.lists(st.tuples(SECONDS, SECONDS).map(lambda pair: tuple(sorted(pair))), max_size=8)
QUERIES = st.builds(Query, st.just("q"), st.just("a bell"), st.just("v"), st.floats(0.5, 25), WINDOWS)
BATCHES = st.lists(st.tuples(QUERIES, st.integers(1, 25)), min_size=1, max_size=6)


def rngs(count: int) -> list[np.random.Generator]:
    return [generator(seed) for seed in range(count)]


@given(st.lists(QUERIES, min_size=1, max_size=6))
def test_windows_of_a_batch_are_cut_as_those_of_one_query(queries: list[Query]) -> None:
    windows = targets.clip_batch(queries)
    for query, rows in zip(queries, np.split(windows.values, windows.offsets[1:-1]), strict=True):
        expected = targets.clip_windows(targets.as_windows(query.windows), query.duration)
        np.testing.assert_array_equal(rows, expected)


@given(st.lists(QUERIES, min_size=1, max_size=6), st.integers(1, 4))
def test_windows_of_a_batch_are_drawn_as_those_of_one_query(queries: list[Query], limit: int) -> None:
    windows, used, plain = targets.clip_batch(queries), rngs(len(queries)), rngs(len(queries))
    drawn = targets.draw_batch_windows(windows, limit, used)
    for index, rows in enumerate(np.split(drawn.values, drawn.offsets[1:-1])):
        own = windows.values[windows.offsets[index] : windows.offsets[index + 1]]
        np.testing.assert_array_equal(rows, targets.draw_windows(own, limit, plain[index]))
    assert [rng.random() for rng in used] == [rng.random() for rng in plain]


@given(BATCHES, st.floats(0.1, 3))
def test_spans_of_a_batch_equal_those_of_one_query(batch: list[tuple[Query, int]], hop: float) -> None:
    windows = targets.clip_batch([query for query, _ in batch])
    frames = np.array([frames for _, frames in batch])
    spans = np.split(targets.spans_of(windows.values, frames[windows.query], hop), windows.offsets[1:-1])
    for index, rows in enumerate(spans):
        own = windows.values[windows.offsets[index] : windows.offsets[index + 1]]
        np.testing.assert_array_equal(rows, targets.spans_of(own, int(frames[index]), hop))


@given(BATCHES, st.integers(1, 4))
def test_labels_and_pairs_of_a_batch_equal_those_of_one_query(
    batch: list[tuple[Query, int]], count: int
) -> None:
    cut = [targets.clip_windows(targets.as_windows(query.windows), query.duration) for query, _ in batch]
    batch = [pair for pair, windows in zip(batch, cut, strict=True) if len(windows)]
    if not batch:
        return
    windows, frames = (
        targets.clip_batch([query for query, _ in batch]),
        np.array([count for _, count in batch]),
    )
    labels = targets.label_batch(windows, np.array([query.duration for query, _ in batch]), frames)
    used, plain = rngs(len(batch)), rngs(len(batch))
    pairs = targets.draw_batch_pairs(labels, frames, count, used)
    assert labels.shape == (len(batch), frames.max())
    for index, (query, length) in enumerate(batch):
        own = windows.values[windows.offsets[index] : windows.offsets[index + 1]]
        expected = targets.label_windows(own, query.duration, length)
        assert labels[index].tolist() == [*expected.tolist(), *[False] * (int(frames.max()) - length)]
        drawn = targets.draw_pairs(expected, count, plain[index])
        assert pairs.positives[index].tolist() == drawn.positives.tolist()
        assert pairs.negatives[index].tolist() == drawn.negatives.tolist()
    assert [rng.random() for rng in used] == [rng.random() for rng in plain]


def test_frames_of_a_very_short_recording_are_labelled() -> None:
    tiny = Query("q", "a bell", "v", 1e-300, ((0.0, 1.0),))
    labels = targets.label_batch(targets.clip_batch([tiny]), np.array([1e-300]), np.array([4]))
    assert labels.tolist() == [targets.label_windows(np.array([[0.0, 1.0]]), 1e-300, 4).tolist()]
