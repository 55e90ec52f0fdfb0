"""What the procedural world plans: sounds, times and sentences, before anything is rendered."""

import re
from collections import defaultdict
from itertools import combinations

import pytest

from amrbench_plugins.datasets.procedural import planning
from amrbench_plugins.datasets.procedural.captions import Wording
from amrbench_plugins.datasets.procedural.lexicon import THEN, WHILE
from amrbench_plugins.datasets.procedural.presets import PRESETS
from amrbench_plugins.datasets.procedural.sounds import CLASSES
from tests.plugins.datasets.procedural.plans import SPLITS, every_plan, is_held_out, names_value, plans


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
    assert len({scene.events for scene in made}) == len(keys)
    assert all(not set(a.events) & set(b.events) for a, b in combinations(made, 2))


def test_ids_name_preset_split_and_index():
    assert plan("scenes", "test", 7).vid == "scenes_test_0007"


def test_no_two_clips_of_a_split_are_alike():
    for preset, split in SPLITS:
        assert len({scene.events for scene in plans(preset, split)}) == len(plans(preset, split))


# ---------------------------------------------------------------- times


def test_events_are_inside_the_clip():
    for scene in every_plan():
        assert all(event.start >= 0 and event.end <= scene.preset.seconds for event in scene.events)


def test_events_have_the_length_and_level_of_the_preset():
    for scene in every_plan():
        for event in scene.events:
            bounds = scene.preset.far if scene.groups[event.group].subject.far else scene.preset.near
            assert bounds.low <= event.snr <= bounds.high
            assert scene.preset.length.low <= event.seconds <= scene.preset.length.high


def test_events_of_one_class_keep_apart():
    for scene in every_plan():
        for a, b in combinations(scene.events, 2):
            if scene.groups[a.group].subject.sound == scene.groups[b.group].subject.sound:
                assert max(a.start, b.start) - min(a.end, b.end) >= 0.59


def test_nearly_every_planned_sound_finds_room():
    audible = sum(len({event.group for event in scene.events}) for scene in plans("scenes", "test"))
    assert audible >= 0.93 * sum(len(scene.groups) for scene in plans("scenes", "test"))


def composites(kind):
    pairs = [
        (scene, query)
        for scene in every_plan()
        for query in scene.queries
        if query.kind == kind and scene.events
    ]
    assert len(pairs) > 50
    return pairs


def test_then_means_that_the_second_starts_soon_after_the_first():
    for scene, query in composites("then"):
        first, second = (scene.events[number] for number in query.events)
        assert 0.09 <= second.start - first.end <= 0.81


def test_while_means_that_most_of_the_shorter_is_shared():
    for scene, query in composites("while"):
        first, second = (scene.events[number] for number in query.events)
        shared = min(first.end, second.end) - max(first.start, second.start)
        assert shared >= 0.74 * min(first.seconds, second.seconds)


def test_a_composite_occurs_once_in_the_clip():
    for kind in ("then", "while"):
        for scene, query in composites(kind):
            first, second = (scene.events[number].group for number in query.events)
            for a, b in combinations(range(len(scene.events)), 2):
                pair = {scene.events[a].group, scene.events[b].group}
                if pair == {first, second} and {a, b} != set(query.events):
                    one, other = sorted((scene.events[a], scene.events[b]), key=lambda event: event.start)
                    assert other.start - one.end >= 1.99


# ---------------------------------------------------------------- queries


def test_the_splits_have_enough_queries():
    counts = [len(plan("scenes", "test", index).queries) for index in range(160)]
    assert sum(counts) >= 600
    assert min(counts) >= 1


def test_distractors_are_never_asked_for():
    for scene in every_plan():
        asked = {scene.events[number].group for query in scene.queries for number in query.events}
        assert all(scene.groups[group].asked for group in asked)
        assert all(scene.groups[group].subject != scene.groups[other].subject
                   for group in asked for other in range(len(scene.groups)) if other != group)  # fmt: skip


def test_there_are_distractors():
    assert sum(not group.asked for scene in plans("scenes", "test") for group in scene.groups) > 100


def test_a_single_query_names_all_events_of_its_sound():
    for scene in every_plan():
        for query in scene.queries:
            if query.kind == "single":
                group = scene.events[query.events[0]].group
                assert query.events == tuple(n for n, e in enumerate(scene.events) if e.group == group)


def test_twin_says_exactly_where_the_other_value_sounds():
    seen = set()
    for scene in every_plan():
        present = {(s.sound, s.value) for s in (scene.groups[e.group].subject for e in scene.events)}
        for query in scene.queries:
            if query.kind == "single":
                subject = scene.groups[scene.events[query.events[0]].group].subject
                assert query.twin == ((subject.sound, 1 - subject.value) in present)
                seen.add(query.twin)
    assert seen == {False, True}


def test_twins_always_name_their_value():
    for scene in every_plan():
        for query in scene.queries:
            if query.twin:
                assert all(
                    names_value(query.text, scene.groups[scene.events[number].group].subject)
                    for number in query.events
                )


def test_a_sound_without_a_named_value_sounds_with_one_value_only():
    bare = 0
    for scene in every_plan():
        for query in scene.queries:
            for number in query.events:
                subject = scene.groups[scene.events[number].group].subject
                if not names_value(query.text, subject):
                    others = [group.subject for group in scene.groups if group.subject.sound == subject.sound]
                    present = {scene.groups[event.group].subject for event in scene.events}
                    assert present & set(others) == {subject}
                    bare += 1
    assert bare > 100


def test_no_text_of_a_clip_means_two_moments():
    for scene in every_plan():
        meanings = defaultdict(set)
        for query in scene.queries:
            meanings[query.text.lower().rstrip(".")].add(query.events)
        assert all(len(events) == 1 for events in meanings.values())


def test_composites_are_joined_by_their_words():
    for kind, joints in (("then", THEN), ("while", WHILE)):
        assert all(any(joint in query.text for joint in joints) for _, query in composites(kind))


# ---------------------------------------------------------------- wording


def test_every_class_and_value_is_asked_for_in_every_wording():
    worded = set()
    for scene in plans("scenes", "test", 600):
        for query in scene.queries:
            if query.kind == "single":
                subject = scene.groups[scene.events[query.events[0]].group].subject
                wording = Wording.UNSEEN if query.unseen else Wording.VALUE
                wording = wording if names_value(query.text, subject) else Wording.BARE
                worded.add((subject.sound, subject.value, wording))
    assert worded == {(sound, value, wording) for sound in CLASSES for value in (0, 1) for wording in Wording}


def test_held_out_wording_is_in_test_queries_only():
    for preset, split in SPLITS:
        flags = [
            (query.unseen, is_held_out(query.text))
            for scene in plans(preset, split)
            for query in scene.queries
        ]
        assert all(flag == held_out for flag, held_out in flags)
        assert any(held_out for _, held_out in flags) == (split == "test")


def test_articles_fit_the_next_word():
    texts = [query.text.lower() for scene in every_plan() for query in scene.queries]
    assert not [text for text in texts if re.search(r"\ba [aeiou]|\ban [^aeiou]", text)]
