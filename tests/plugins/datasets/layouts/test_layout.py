"""When sounds sound and what queries ask for, whatever the sounds are."""

from functools import cache
from itertools import combinations

import numpy as np
import pytest

from amrbench_plugins.datasets.layouts.layout import lay_out
from amrbench_plugins.datasets.layouts.presets import LAWS

KINDS = list(LAWS)
STEP = 0.05


@cache
def layouts(kind, split="train", count=80):
    return [lay_out(LAWS[kind], split, number, (0, 9)) for number in range(count)]


def on(layout, sound):
    """Whether a sound is on, at times `STEP` apart."""
    times = np.arange(0, layout.seconds, STEP)
    inside = [(event.start <= times) & (times < event.end) for event in layout.events if event.sound == sound]
    return np.any(inside, axis=0)


def during(layout, moments):
    times = np.arange(0, layout.seconds, STEP)
    return np.any([(start <= times) & (times < end) for start, end in moments], axis=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layout_is_the_same_whatever_was_laid_out_before(kind):
    backwards = [lay_out(LAWS[kind], "val", number, (3,)) for number in reversed(range(6))]
    assert backwards[::-1] == [lay_out(LAWS[kind], "val", number, (3,)) for number in range(6)]


def test_key_and_number_each_make_another_layout():
    laws = LAWS["scenes"]
    made = [lay_out(laws, "val", 0, (3,)), lay_out(laws, "val", 1, (3,)), lay_out(laws, "val", 0, (4,))]
    assert all(a.events != b.events for a, b in combinations(made, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_events_are_inside_the_recording(kind):
    for layout in layouts(kind):
        assert all(0 <= event.start < event.end <= layout.seconds + 1e-6 for event in layout.events)
        assert {event.sound for event in layout.events} == set(range(len(layout.sounds)))


@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_exactly_when_all_sounds_of_the_query_are_on(kind):
    for layout in layouts(kind, count=40):
        for request in layout.requests:
            together = np.all([on(layout, sound) for sound in request.sounds], axis=0)
            assert np.array_equal(together, during(layout, request.moments))


@pytest.mark.parametrize("kind", KINDS)
def test_windows_are_the_moments_as_people_write_them_down(kind):
    annotators = LAWS[kind].annotators
    slack = annotators.step + 5 * annotators.jitter
    for layout in layouts(kind):
        for request in layout.requests:
            for start, end in request.windows:
                nearest = [(abs(start - first), abs(end - last)) for first, last in request.moments]
                assert min(off for off, _ in nearest) <= slack
                assert min(off for _, off in nearest) <= slack
                assert start / annotators.step == pytest.approx(round(start / annotators.step))


@pytest.mark.parametrize("kind", ["scenes", "scenes-small", "long"])
def test_the_sounds_of_a_pair_also_sound_alone(kind):
    pairs = [(layout, request) for layout in layouts(kind) for request in layout.requests
             if len(request.sounds) == 2]  # fmt: skip
    assert len(pairs) > 40
    apart = [on(layout, a) & ~on(layout, b) for layout, request in pairs
             for a, b in (request.sounds, request.sounds[::-1])]  # fmt: skip
    alone = [
        any(
            not (event.start - 1 < last and first < event.end + 1)
            for event in layout.events
            if event.sound == sound
            for first, last in [(min(s for s, _ in request.moments), max(e for _, e in request.moments))]
        )
        for layout, request in pairs
        for sound in request.sounds
    ]
    assert all(each.any() for each in apart)
    assert np.mean(alone) > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_levels_are_those_of_the_law(kind):
    levels = LAWS[kind].levels
    for layout in layouts(kind):
        for event in layout.events:
            sound = layout.sounds[event.sound]
            bounds = levels.far if sound.far else levels.near
            assert bounds.low <= sound.snr <= bounds.high
            assert abs(event.snr - sound.snr) <= 5 * levels.varies


def test_shares_are_those_of_the_law():
    made = layouts("scenes-small", count=160)
    requests = [request for layout in made for request in layout.requests]
    assert np.mean([len(request.sounds) == 2 for request in requests]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([layout.bed is not None for layout in made]) == pytest.approx(0.5, abs=0.1)
    assert np.mean([sound.far for layout in made for sound in layout.sounds]) == pytest.approx(0.3, abs=0.06)
    others = [sum(not sound.asked for sound in layout.sounds) for layout in made]
    assert set(others) == {0, 1, 2}


def test_sounds_of_no_query_are_in_no_request():
    for layout in layouts("scenes"):
        asked = {sound for request in layout.requests for sound in request.sounds}
        assert asked == {index for index, sound in enumerate(layout.sounds) if sound.asked}


def test_a_larger_split_begins_with_the_smaller_one():
    assert layouts("scenes", count=12) == layouts("scenes")[:12]
