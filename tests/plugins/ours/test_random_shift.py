"""The temporal shift moves rows and windows together, and keeps its margins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from amrbench.functional.targets import as_windows, label_windows, spans_of
from amrbench.registry import Registry
from amrbench.testing import check_part, make_recordings
from amrbench.types import Query, Rows
from amrbench_plugins.cgdetr.moments import MomentTargets
from amrbench_plugins.ours.random_shift import Excerpt, ShiftLimits, draw_cyclic, roll
from amrbench_plugins.ours.training_parts import CyclicShift, RandomShift

SHIFT = RandomShift(probability=1.0, growth=5.0)
FORMS = (RandomShift(probability=1.0, growth=5.0, longest=90), CyclicShift(probability=1.0))
RECORDINGS = make_recordings()  # which a shift does not look at
WINDOWS = ((12.0, 17.5), (30.25, 41.0))


def rows_of(length: int) -> Rows:
    """Rows that hold their number, from 1."""
    return np.stack([np.arange(1, length + 1), np.full(length, 7)], 1).astype(np.float32)


def query_of(*windows: tuple[float, float], duration: float = 60.0) -> Query:
    return Query("q", "a dog barks", "v", duration, windows)


def shifted(seed: int, rows: Rows, query: Query, part: Any = SHIFT, hop: float = 1.0) -> tuple[Rows, Query]:
    moved: tuple[Rows, Query] = part.build(RECORDINGS)(rows, query, hop, np.random.default_rng(seed))
    return moved


def inside(rows: Rows, query: Query, hop: float) -> list[list[float]]:
    """The numbers that the rows of each window have in the original recording."""
    return [rows[int(a / hop) : int(np.ceil(b / hop)), 0].tolist() for a, b in query.windows]


@pytest.mark.parametrize("part", FORMS, ids=lambda part: part.use)
@pytest.mark.parametrize("hop", [1.0, 0.5])
def test_windows_keep_their_rows_and_their_lengths(part, hop):
    rows, query = rows_of(60), query_of(*((a * hop, b * hop) for a, b in WINDOWS), duration=60 * hop)
    expected, offsets = inside(rows, query, hop), set()
    for seed in range(200):
        new, moved = shifted(seed, rows, query, part, hop)
        assert inside(new, moved, hop) == expected
        assert moved.duration == pytest.approx(len(new) * hop)
        for (start, end), (low, high) in zip(moved.windows, query.windows, strict=True):
            assert end - start == pytest.approx(high - low)
        offsets.add(round((moved.windows[0][0] - query.windows[0][0]) / hop))
        assert (moved.qid, moved.query, moved.vid) == ("q", "a dog barks", "v")
    assert len(offsets) > 20
    assert min(offsets) < 0 < max(offsets)


@pytest.mark.parametrize("part", FORMS, ids=lambda part: part.use)
def test_labels_of_moved_windows_are_those_of_their_rows(part):
    rows, query = rows_of(60), query_of((12.0, 17.0), (30.0, 41.0))
    for seed in range(50):
        new, moved = shifted(seed, rows, query, part)
        labels = label_windows(as_windows(moved.windows), moved.duration, len(new))
        kept = sorted(new[labels, 0].tolist())
        assert kept == [*range(13, 18), *range(31, 42)]
        span = spans_of(as_windows(moved.windows), len(new), 1.0)[0]
        assert span[1] * len(new) == pytest.approx(5, abs=1e-4)


def test_margins_are_kept_and_reached():
    limits = ShiftLimits(margin=3, growth=5.0, longest=80)
    excerpt = Excerpt(rows_of(60), as_windows(WINDOWS))
    assert (limits.dropped(excerpt), limits.added(excerpt)) == (9, 36)
    rng = np.random.default_rng(0)
    drawn = [limits.draw(excerpt, rng) for _ in range(10_000)]
    assert (min(drawn), max(drawn)) == (-9, 36)
    cropped, padded = (limits.pad_or_crop(excerpt, offset) for offset in (-9, 36))
    assert cropped.windows.min() == 3
    assert cropped.rows[0, 0] == 10
    assert padded.windows.max() == 77
    assert len(padded.rows) == 80
    assert not padded.rows[:36].any(), "silence is added at the start"


def test_margins_count_from_whole_rows_outside_of_a_window():
    limits, excerpt = (
        ShiftLimits(margin=3, growth=1.0, longest=80),
        Excerpt(rows_of(60), as_windows([(12.6, 41.4)])),
    )
    assert (limits.dropped(excerpt), limits.added(excerpt)) == (12 - 3, 60 - 42 - 3)


@pytest.mark.parametrize("form", [RandomShift, CyclicShift])
def test_without_growth_a_recording_gets_no_longer(form):
    rows, query, lengths = rows_of(60), query_of(*WINDOWS), set()
    for seed in range(300):
        new, moved = shifted(seed, rows, query, form(probability=1.0))
        lengths.add(len(new))
        assert inside(new, moved, 1.0) == inside(rows, query, 1.0)
    assert max(lengths) == 60
    assert RandomShift().growth == 1


def test_growth_is_a_multiple_of_the_length_up_to_the_limit():
    excerpt = Excerpt(rows_of(60), as_windows(WINDOWS))
    assert [ShiftLimits(3, growth, 80).length(excerpt) for growth in (1.0, 1.2, 1.5)] == [60, 72, 80]
    assert ShiftLimits(3, 1.2, 80).added(excerpt) == 72 - 41 - 3


def test_a_recording_beyond_the_limit_of_growth_moves_both_ways_and_keeps_its_length():
    rows, query = rows_of(60), query_of(*WINDOWS)
    for seed in range(100):
        new, moved = shifted(seed, rows, query, RandomShift(probability=1.0, longest=40))
        other, same = shifted(seed, rows, query, RandomShift(probability=1.0, longest=300))
        assert np.array_equal(new, other)
        assert moved == same
    limits = ShiftLimits(margin=3, growth=5.0, longest=40)
    assert limits.added(Excerpt(rows, as_windows(WINDOWS))) == 60 - 41 - 3


def test_the_standard_deviation_of_a_normal_offset_is_half_the_larger_limit():
    limits = ShiftLimits(margin=0, growth=2.0, longest=4000)
    excerpt = Excerpt(rows_of(3000), as_windows([(1990.0, 2000.0)]))
    rng = np.random.default_rng(0)
    drawn = np.array([limits.draw(excerpt, rng) for _ in range(20_000)])
    free = drawn[(drawn > -1990) & (drawn < 2000)]
    assert np.quantile(np.abs(free), 0.5) == pytest.approx(0.6385 * 1000, rel=0.03), (
        "cut at two standard deviations"
    )
    assert drawn.mean() == pytest.approx(0, abs=25)


def test_a_drawn_offset_is_rounded_towards_zero():
    limits, excerpt = (
        ShiftLimits(margin=0, growth=1.0, longest=80),
        Excerpt(rows_of(6), as_windows([(2.0, 4.0)])),
    )
    rng = np.random.default_rng(0)
    drawn = [limits.draw(excerpt, rng) for _ in range(10_000)]
    assert drawn.count(0) / 10_000 == pytest.approx(0.683, abs=0.02), "within one standard deviation"


@pytest.mark.parametrize("part", FORMS, ids=lambda part: part.use)
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_shifts_have_the_given_probability(part, probability):
    rows, query = rows_of(60), query_of(*WINDOWS)
    part, moved = part.model_copy(update={"probability": probability}), 0
    for seed in range(2000):
        new_rows, new_query = shifted(seed, rows, query, part)
        if new_rows is not rows:
            moved += 1
        else:
            assert new_query is query
    assert moved / 2000 == pytest.approx(probability, abs=0.04), "a drawn offset of 0 is rare"


def test_nothing_moves_where_the_limits_are_zero():
    rows = rows_of(60)
    for windows, longest in ((((0.0, 60.0),), 60), (((2.0, 58.0),), 61)):
        query = query_of(*windows)
        for seed in range(20):
            assert shifted(seed, rows, query, SHIFT.model_copy(update={"longest": longest})) == (rows, query)


def test_a_cyclic_shift_uses_every_offset_that_cuts_no_window():
    excerpt = Excerpt(rows_of(20), as_windows([(2.5, 6.0), (5.0, 9.0), (18.0, 20.0)]))
    rng = np.random.default_rng(0)
    drawn = {draw_cyclic(excerpt, rng) for _ in range(2000)}
    cut = {-start % 20 for start in (*range(3, 9), 19)}
    assert drawn == set(range(20)) - cut
    for offset in drawn:
        moved = roll(excerpt, offset)
        assert moved.windows.min() >= 0
        assert moved.windows.max() <= 20
        assert len(moved.rows) == 20
        for old, new in zip(excerpt.windows, moved.windows, strict=True):
            assert (new[0] - old[0]) % 20 == offset


def test_a_cyclic_shift_by_the_length_changes_nothing():
    excerpt = Excerpt(rows_of(20), as_windows([(2.5, 6.0)]))
    moved = roll(excerpt, 20)
    assert np.array_equal(moved.rows, excerpt.rows)
    assert np.array_equal(moved.windows, excerpt.windows)


@pytest.mark.parametrize("part", FORMS, ids=lambda part: part.use)
def test_windows_past_the_last_row_are_cut_first(part):
    rows, query = rows_of(59), query_of((10.0, 12.0), (50.0, 60.0), (59.2, 59.9), duration=59.9)
    for seed in range(50):
        new, moved = shifted(seed, rows, query, part)
        if new is rows:
            continue
        assert len(moved.windows) == 2
        assert moved.windows[1][1] - moved.windows[1][0] == 9
        assert moved.windows[1][1] <= len(new)


def test_a_query_without_windows_inside_the_rows_is_not_moved():
    rows, query = rows_of(59), query_of((59.2, 59.9), duration=59.9)
    assert shifted(0, rows, query) == (rows, query)


def test_a_recording_that_is_longer_than_the_limit_is_not_cut_further():
    rows, query = rows_of(60), query_of((2.0, 4.0))
    for seed in range(50):
        new, moved = shifted(seed, rows, query, SHIFT.model_copy(update={"longest": 40}))
        assert len(new) in {60, *range(60)}
        assert inside(new, moved, 1.0) == [[3.0, 4.0]]


@pytest.mark.parametrize("part", FORMS, ids=lambda part: part.use)
def test_the_part_keeps_the_contract(part):
    check_part(part, Registry.of(type(part)))


def test_targets_are_made_from_moved_windows():
    rows, query = rows_of(60), query_of(*WINDOWS)
    for seed in range(20):
        new, moved = shifted(seed, rows, query)
        labels = MomentTargets(saliency="all-windows").build()(moved, len(new), 1.0, np.random.default_rng(0))
        assert set(new[labels.relevant, 0]) <= {*range(12, 19), *range(30, 43)}
        assert new[labels.relevant].all(), "no silent row is relevant"
