"""What is mixed in, where, and how much of it."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amrbench.registry import Registry
from amrbench.testing import check_part, make_recordings
from amrbench.types import Query
from amrbench_plugins.beyond.background_mixing import BackgroundMixer, Donors, background, pieces
from amrbench_plugins.beyond.parts import BackgroundMixing


@dataclass
class World:
    """Recording v has rows [v, 0], [v, 1], ...; sentences are given as directions in the plane."""

    angles: list[tuple[int, float]]  # recording and angle of each query
    rows: int = 40

    @property
    def queries(self):
        return [
            Query(index, "s", f"v{vid}", float(self.rows), ((10.0, 15.0),))
            for index, (vid, _) in enumerate(self.angles)
        ]

    def audio_rows(self, index):
        vid = np.full(self.rows, self.angles[index][0])
        return np.stack([vid, np.arange(self.rows)], 1).astype(np.float32)

    def word_rows(self, index):
        angle = self.angles[index][1]
        direction = np.array([np.cos(angle), np.sin(angle)])
        return np.stack([3 * direction, direction]).astype(np.float32)


def drawn_world(seed, recordings=9, count=30):
    rng = np.random.default_rng(seed)
    return World([(int(vid), float(rng.uniform(0, 3))) for vid in rng.integers(recordings, size=count)])


def similarities(world):
    """Return by (query, recording) the largest cosine to another sentence, one by one."""
    found = {}
    for one, (_, angle) in enumerate(world.angles):
        for other, (vid, other_angle) in enumerate(world.angles):
            if one != other:
                cosine = np.cos(angle - other_angle)
                found[one, vid] = max(found.get((one, vid), -np.inf), cosine)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_limits_are_percentiles_of_foreign_and_of_own_recordings(seed):
    world = drawn_world(seed)
    found = similarities(world)
    own = [value for (query, vid), value in found.items() if world.angles[query][0] == vid]
    foreign = [value for (query, vid), value in found.items() if world.angles[query][0] != vid]
    limits = Donors(world, low=0.1, high=0.6).limits
    assert limits == pytest.approx((np.quantile(foreign, 0.1), np.quantile(own, 0.6)), abs=1e-6)


def test_without_two_sentences_about_one_recording_both_limits_are_of_foreign_ones():
    world = World([(vid, vid / 3) for vid in range(8)])
    foreign = list(similarities(world).values())
    limits = Donors(world, low=0.2, high=0.6).limits
    assert limits == pytest.approx(np.quantile(foreign, [0.2, 0.6]).tolist(), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_donors_are_all_recordings_within_the_limits_and_no_other(seed):
    world = drawn_world(seed)
    donors = Donors(world, low=0.1, high=0.6)
    low, high = donors.limits
    for index, query in enumerate(world.queries):
        rng = np.random.default_rng(index)
        drawn = [donors.draw(query, rng) for _ in range(100)]
        expected = {
            vid
            for (one, vid), value in similarities(world).items()
            if one == index and low - 1e-6 <= value <= high + 1e-6 and vid != world.angles[index][0]
        }
        assert {int(rows[0, 0]) for rows in drawn if rows is not None} == expected


def test_the_same_sentence_about_another_recording_is_not_mixed_in():
    world = World([(0, 0.0), (0, 0.4), (1, 0.0), (2, 0.8), (3, 1.6), (4, 1.0), (5, 0.9)])
    mixer = BackgroundMixing().build(world)
    for seed in range(50):
        rows, _ = mixer(world.audio_rows(0), world.queries[0], 1.0, np.random.default_rng(seed))
        assert 1 not in rows[:, 0]


def mixed(world, seed, index=0, **options):
    query, rows = world.queries[index], world.audio_rows(index)
    mixer = BackgroundMixing(**options).build(world)
    new, same = mixer(rows, query, 1.0, np.random.default_rng(seed))
    assert same is query
    return rows, new


@given(st.integers(0, 1000), st.floats(0.01, 1), st.integers(1, 12), st.integers(0, 4))
def test_the_share_of_the_background_is_replaced_and_nothing_else(seed, ratio, piece, margin):
    rows, new = mixed(drawn_world(1), seed, ratio=ratio, piece=piece, margin=margin, low=0, high=1)
    changed = (rows != new).any(1)
    free = np.array([not 10 - margin <= row < 15 + margin for row in range(40)])
    assert not changed[~free].any()
    assert changed.sum() == round(ratio * free.sum())


@given(st.integers(0, 1000), st.integers(1, 12))
def test_pieces_are_contiguous_rows_of_one_recording(seed, piece):
    rows, new = mixed(drawn_world(2), seed, ratio=0.5, piece=piece, low=0, high=1)
    changed = (rows != new).any(1)
    follows = (np.diff(new, axis=0) == [0, 1]).all(1) & changed[:-1]
    begun = int(changed[0]) + int((changed[1:] & ~follows).sum())
    free = background(np.array([[10.0, 15.0]]), 40, 1)
    assert 0 < begun <= max(len(pieces(free, piece, phase)) for phase in range(piece))


def test_seeds_differ_and_one_seed_repeats():
    world = drawn_world(3)
    assert np.array_equal(mixed(world, 1)[1], mixed(world, 1)[1])
    assert not np.array_equal(mixed(world, 1)[1], mixed(world, 2)[1])


def test_a_shorter_recording_gives_what_it_has():
    world = drawn_world(4)
    world.rows = 3
    query = replace(world.queries[0], windows=((0.0, 1.0),))
    mixer = BackgroundMixing(ratio=1.0, piece=20, low=0, high=1).build(world)
    rows = np.full((40, 2), -1, np.float32)
    new, _ = mixer(rows, query, 1.0, np.random.default_rng(0))
    assert 3 <= (new != rows).any(1).sum() <= 9  # one piece of at most 3 rows for each of 20


def test_windows_are_in_seconds_and_may_lie_anywhere():
    world = drawn_world(5)
    query = replace(world.queries[0], windows=((1.0, 1.2), (18.9, 25.0)))
    mixer = BackgroundMixing(ratio=1.0, margin=0, low=0, high=1).build(world)
    rows = world.audio_rows(0)
    new, _ = mixer(rows, query, 0.5, np.random.default_rng(0))
    kept = np.flatnonzero((new == rows).all(1))
    assert kept.tolist() == [2, 37, 38, 39]


def test_without_another_recording_nothing_changes():
    rows, new = mixed(World([(0, 0.0), (0, 1.0)]), 0)
    assert np.array_equal(rows, new)


def test_a_recording_that_is_one_moment_stays():
    world = drawn_world(6)
    query = replace(world.queries[0], windows=((0.0, 40.0),))
    rows = world.audio_rows(0)
    new, _ = BackgroundMixing().build(world)(rows, query, 1.0, np.random.default_rng(0))
    assert np.array_equal(rows, new)


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 7), st.data())
def test_pieces_cover_the_free_rows_once(free, longest, data):
    phase = data.draw(st.integers(0, longest - 1))
    expected, run = [], []
    for row in range(len(free) + 1):
        if run and (row == len(free) or not free[row] or (row + phase) % longest == 0):
            expected.append([run[0], run[-1] + 1])
            run = []
        if row < len(free) and free[row]:
            run.append(row)
    assert pieces(np.array(free), longest, phase).tolist() == expected


def test_background_is_what_is_a_row_away_from_windows():
    windows = np.array([[2.5, 3.5], [9.0, 30.0]])
    assert np.flatnonzero(background(windows, 12, 1)).tolist() == [0, 5, 6, 7]
    assert np.flatnonzero(background(windows, 12, 0)).tolist() == [0, 1, 4, 5, 6, 7, 8]


def test_many_queries_are_sampled(monkeypatch):
    world = drawn_world(7, recordings=20, count=200)
    exact = Donors(world, low=0.1, high=0.6).limits
    monkeypatch.setattr("amrbench_plugins.beyond.background_mixing._SAMPLED", 60)
    assert Donors(world, low=0.1, high=0.6).limits == pytest.approx(exact, abs=0.1)
    assert Donors(world, low=0.1, high=0.6).limits != exact


def test_it_keeps_the_contract():
    check_part(BackgroundMixing(), Registry.of(BackgroundMixing))


def test_the_recordings_of_the_tests_are_mixed():
    recordings = make_recordings()
    mixer = BackgroundMixing(ratio=1.0).build(recordings)
    assert isinstance(mixer, BackgroundMixer)
    rows = recordings.audio_rows(0)
    new, _ = mixer(rows, recordings.queries[0], 1.0, np.random.default_rng(0))
    assert (new != rows).any()
