"""What the procedural world plans: sounds, and sentences about them, before anything is rendered."""

import re
from itertools import combinations

import numpy as np
import pytest

from amrbench_plugins.datasets.procedural import planning
from amrbench_plugins.datasets.procedural.captions import Wording
from amrbench_plugins.datasets.procedural.lexicon import WHILE
from amrbench_plugins.datasets.procedural.presets import PRESETS
from amrbench_plugins.datasets.procedural.sounds import CLASSES, HELD_OUT, TRAINING
from tests.plugins.datasets.procedural.plans import (
    SPLITS,
    asked,
    every_plan,
    is_held_out,
    names_value,
    plans,
)

TARGETS = ("scenes", "scenes-small")


def plan(preset, split, index, seed=0):
    return planning.plan(PRESETS[preset], split, index, seed=seed)


# ---------------------------------------------------------------- determinism


@pytest.mark.parametrize(("preset", "split"), SPLITS)
def test_a_plan_is_the_same_whatever_was_planned_before(preset, split):
    forwards = [plan(preset, split, index, 3) for index in range(6)]
    backwards = [plan(preset, split, index, 3) for index in reversed(range(6))]
    assert forwards == backwards[::-1]


def test_seed_preset_split_and_index_each_make_another_clip():
    keys = [("scenes", "train", 0, 0), ("scenes", "train", 0, 1), ("scenes", "train", 1, 0),
            ("scenes", "val", 0, 0), ("scenes", "test", 0, 0), ("short", "train", 0, 0)]  # fmt: skip
    made = [plan(*key) for key in keys]
    assert all(not set(a.layout.events) & set(b.layout.events) for a, b in combinations(made, 2))


def test_ids_name_preset_split_and_index():
    assert plan("scenes-small", "test", 7).vid == "scenes-small_test_0007"


# ---------------------------------------------------------------- sounds


def test_the_sounds_of_a_clip_are_of_different_classes_but_for_twins():
    for scene in every_plan():
        names = [sound.subject.sound for sound in scene.sounds if not sound.twin]
        assert len(set(names)) == len(names)


def test_twins_are_two_values_of_one_class_in_different_queries():
    pairs = 0
    for scene in every_plan():
        twins = [index for index, sound in enumerate(scene.sounds) if sound.twin]
        assert len(twins) in (0, 2)
        if twins:
            one, other = (scene.sounds[index].subject for index in twins)
            assert (one.sound, one.value) == (other.sound, 1 - other.value)
            assert not any(set(twins) <= set(request.sounds) for request in scene.layout.requests)
            pairs += 1
    assert pairs > 50


def test_distance_is_that_of_the_layout():
    for scene in every_plan():
        assert [sound.subject.far for sound in scene.sounds] == [sound.far for sound in scene.layout.sounds]


def test_the_bed_is_of_no_class_that_a_query_asks_for():
    beds = [(scene.bed.subject.sound, scene) for scene in every_plan() if scene.bed]
    assert all(name not in {sound.subject.sound for sound in scene.sounds} for name, scene in beds)
    assert all(
        (name == "voice") == scene.layout.bed.speech for name, scene in beds if scene.layout.bed.speech
    )
    assert {scene.layout.bed.speech for _, scene in beds} == {False, True}
    assert all((scene.bed is None) == (scene.layout.bed is None) for scene in every_plan())


def test_voices_are_asked_for_more_often_than_other_classes():
    names = [sound.subject.sound for scene in every_plan() for sound in scene.sounds]
    assert names.count("voice") > 1.5 * max(names.count(name) for name in CLASSES if name != "voice")


def test_held_out_takes_are_in_test_clips_only():
    for preset, split in SPLITS:
        sections = [sound.section for scene in plans(preset, split) for sound in scene.sounds]
        assert set(sections) == ({TRAINING, HELD_OUT} if split == "test" else {TRAINING})
    for preset in TARGETS:
        sections = [sound.section for scene in plans(preset, "test") for sound in scene.sounds]
        assert np.mean([section == HELD_OUT for section in sections]) == pytest.approx(0.25, abs=0.08)


# ---------------------------------------------------------------- queries


@pytest.mark.parametrize(("preset", "fewest"), [("scenes", 400), ("scenes-small", 400)])
def test_the_test_splits_have_enough_queries(preset, fewest):
    size = PRESETS[preset].splits["test"]
    counts = [len(plan(preset, "test", index).queries) for index in range(size)]
    assert fewest <= sum(counts) <= 700
    assert min(counts) >= 1


def test_queries_have_the_windows_and_length_of_the_layout():
    for scene in every_plan():
        for number, (query, request) in enumerate(zip(scene.queries, scene.layout.requests, strict=True)):
            assert query.qid == f"{scene.vid}_{number}"
            assert query.windows == request.windows
            assert query.duration == scene.layout.seconds


def test_queries_say_what_they_can_be_sliced_by():
    seen = set()
    for scene in every_plan():
        for query, sounds in asked(scene):
            assert query.extra == {
                "kind": "while" if len(sounds) == 2 else "single",
                "twin": any(sound.twin for sound in sounds),
                "unseen_phrase": is_held_out(query.query),
                "unseen_take": any(sound.section == HELD_OUT for sound in sounds),
                "tight": min(end - start for start, end in query.windows) <= 2,
            }
            seen |= set(query.extra.items())
    assert len(seen) == 10


def test_half_of_the_queries_of_targets_are_about_two_sounds():
    for preset in TARGETS:
        kinds = [query.extra["kind"] for scene in plans(preset, "test") for query in scene.queries]
        assert np.mean([kind == "while" for kind in kinds]) == pytest.approx(0.5, abs=0.03)
        joined = [any(joint in query.query for joint in WHILE) for scene in plans(preset, "test")
                  for query in scene.queries]  # fmt: skip
        assert joined == [kind == "while" for kind in kinds]


def test_twins_always_name_their_value():
    for scene in every_plan():
        for query, sounds in asked(scene):
            assert all(names_value(query.query, sound.subject) for sound in sounds if sound.twin)


def test_no_text_of_a_clip_means_two_moments():
    for scene in every_plan():
        texts = [query.query.lower().rstrip(".") for query in scene.queries]
        assert len(set(texts)) == len(texts)


# ---------------------------------------------------------------- wording


def test_every_class_and_value_is_asked_for_in_every_wording():
    worded = set()
    for scene in plans("scenes-small", "test", 400):
        for query, sounds in asked(scene):
            for sound in sounds:
                unseen = Wording.UNSEEN if query.extra["unseen_phrase"] else Wording.VALUE
                wording = unseen if names_value(query.query, sound.subject) else Wording.BARE
                worded.add((sound.subject.sound, sound.subject.value, wording))
    assert worded == {(sound, value, wording) for sound in CLASSES for value in (0, 1) for wording in Wording}


def test_held_out_wording_is_in_test_queries_only():
    for preset, split in SPLITS:
        found = [is_held_out(query.query) for scene in plans(preset, split) for query in scene.queries]
        if split == "test":
            assert np.mean(found) == pytest.approx(0.2, abs=0.06)
        else:
            assert not any(found)


def test_articles_fit_the_next_word():
    texts = [query.query.lower() for scene in every_plan() for query in scene.queries]
    assert not [text for text in texts if re.search(r"\ba [aeiou]|\ban [^aeiou]", text)]
