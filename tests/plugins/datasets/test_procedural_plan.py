"""What the procedural world plans: sounds, places and sentences, before anything is rendered."""

import re
from collections import defaultdict
from functools import cache
from itertools import combinations

import pytest

from amrbench.errors import DataError
from amrbench_plugins.datasets.procedural import planning, scenes
from amrbench_plugins.datasets.procedural.captions import Subject, Wording, finish, phrase
from amrbench_plugins.datasets.procedural.lexicon import FAR, LEXICON, NEAR, THEN, WHILE
from amrbench_plugins.datasets.procedural.planning import stream
from amrbench_plugins.datasets.procedural.presets import PRESETS
from amrbench_plugins.datasets.procedural.sounds import CLASSES

SPLITS = [(name, split) for name, preset in PRESETS.items() for split in preset.splits]


@cache
def plans(preset, split, count=120):
    return [planning.plan(PRESETS[preset], split, index, seed=1) for index in range(count)]


def every_plan():
    return [scene for name, split in SPLITS for scene in plans(name, split)]


def held_out(sound):
    """Every phrase in the held-out clause of a class."""
    words = [word for value in LEXICON[sound].values for word in value]
    return [re.sub(r"\ba (?=[aeiou])", "an ", LEXICON[sound].unseen.format(a=word)) for word in words]


HELD_OUT = [text for sound in CLASSES for text in held_out(sound)]


def is_held_out(text):
    return any(each in text.lower() for each in HELD_OUT)


def names_value(text, subject):
    return any(word in text.lower() for word in LEXICON[subject.sound].values[subject.value])


# ---------------------------------------------------------------- determinism


@pytest.mark.parametrize(("preset", "split"), SPLITS)
def test_a_plan_is_the_same_whatever_was_planned_before(preset, split):
    forwards = [scenes.plan(preset, split, index, 3) for index in range(6)]
    backwards = [scenes.plan(preset, split, index, 3) for index in reversed(range(6))]
    assert forwards == backwards[::-1]


def test_seed_preset_split_and_index_each_make_another_clip():
    keys = [("scenes", "train", 0, 0), ("scenes", "train", 0, 1), ("scenes", "train", 1, 0),
            ("scenes", "val", 0, 0), ("scenes", "test", 0, 0), ("short", "train", 0, 0)]  # fmt: skip
    made = [scenes.plan(*key) for key in keys]
    assert len({scene.events for scene in made}) == len(keys)
    assert all(not set(a.events) & set(b.events) for a, b in combinations(made, 2))


def test_ids_tell_preset_split_and_index():
    assert scenes.plan("scenes", "test", 7, 0).vid == "scenes_test_0007"


def test_no_two_clips_of_a_split_are_alike():
    for preset, split in SPLITS:
        assert len({scene.events for scene in plans(preset, split)}) == len(plans(preset, split))


# ---------------------------------------------------------------- places


def test_events_lie_inside_the_clip():
    for scene in every_plan():
        assert all(event.start >= 0 and event.end <= scene.preset.seconds for event in scene.events)


def test_events_have_the_length_and_level_of_the_preset():
    for scene in every_plan():
        for event in scene.events:
            span = scene.preset.far if scene.groups[event.group].subject.far else scene.preset.near
            assert span.low <= event.snr <= span.high
            assert scene.preset.length.low <= event.seconds <= scene.preset.length.high


def test_events_of_one_class_keep_apart():
    for scene in every_plan():
        for a, b in combinations(scene.events, 2):
            if scene.groups[a.group].subject.sound == scene.groups[b.group].subject.sound:
                assert max(a.start, b.start) - min(a.end, b.end) >= 0.59


def test_nearly_every_planned_sound_finds_room():
    heard = sum(len({event.group for event in scene.events}) for scene in plans("scenes", "test"))
    assert heard >= 0.93 * sum(len(scene.groups) for scene in plans("scenes", "test"))


def composites(kind):
    found = [
        (scene, ask) for scene in every_plan() for ask in scene.asks if ask.kind == kind and scene.events
    ]
    assert len(found) > 50
    return found


def test_then_means_that_the_second_starts_soon_after_the_first():
    for scene, ask in composites("then"):
        first, second = (scene.events[number] for number in ask.events)
        assert 0.09 <= second.start - first.end <= 0.81


def test_while_means_that_most_of_the_shorter_is_shared():
    for scene, ask in composites("while"):
        first, second = (scene.events[number] for number in ask.events)
        shared = min(first.end, second.end) - max(first.start, second.start)
        assert shared >= 0.74 * min(first.seconds, second.seconds)


def test_a_composite_has_no_second_place_in_the_clip():
    for kind in ("then", "while"):
        for scene, ask in composites(kind):
            first, second = (scene.events[number].group for number in ask.events)
            for a, b in combinations(range(len(scene.events)), 2):
                pair = {scene.events[a].group, scene.events[b].group}
                if pair == {first, second} and {a, b} != set(ask.events):
                    one, other = sorted((scene.events[a], scene.events[b]), key=lambda event: event.start)
                    assert other.start - one.end >= 1.99


# ---------------------------------------------------------------- queries


def test_the_splits_have_enough_queries():
    asked = [len(scene.asks) for index in range(160) for scene in [scenes.plan("scenes", "test", index, 0)]]
    assert sum(asked) >= 600
    assert min(asked) >= 1


def test_distractors_are_never_asked_for():
    for scene in every_plan():
        asked = {scene.events[number].group for ask in scene.asks for number in ask.events}
        assert all(scene.groups[place].asked for place in asked)
        assert all(scene.groups[place].subject != scene.groups[other].subject
                   for place in asked for other in range(len(scene.groups)) if other != place)  # fmt: skip


def test_there_are_distractors():
    assert sum(not group.asked for scene in plans("scenes", "test") for group in scene.groups) > 100


def test_a_single_query_names_all_events_of_its_sound():
    for scene in every_plan():
        for ask in scene.asks:
            if ask.kind == "single":
                place = scene.events[ask.events[0]].group
                assert ask.events == tuple(n for n, e in enumerate(scene.events) if e.group == place)


def test_twin_is_told_exactly_where_the_other_value_sounds():
    seen = set()
    for scene in every_plan():
        heard = {(s.sound, s.value) for s in (scene.groups[e.group].subject for e in scene.events)}
        for ask in scene.asks:
            if ask.kind == "single":
                subject = scene.groups[scene.events[ask.events[0]].group].subject
                assert ask.twin == ((subject.sound, 1 - subject.value) in heard)
                seen.add(ask.twin)
    assert seen == {False, True}


def test_twins_always_name_their_value():
    for scene in every_plan():
        for ask in scene.asks:
            if ask.twin:
                assert all(
                    names_value(ask.text, scene.groups[scene.events[number].group].subject)
                    for number in ask.events
                )


def test_a_sound_without_a_named_value_sounds_with_one_value_only():
    bare = 0
    for scene in every_plan():
        for ask in scene.asks:
            for number in ask.events:
                subject = scene.groups[scene.events[number].group].subject
                if not names_value(ask.text, subject):
                    others = [group.subject for group in scene.groups if group.subject.sound == subject.sound]
                    heard = {scene.groups[event.group].subject for event in scene.events}
                    assert heard & set(others) == {subject}
                    bare += 1
    assert bare > 100


def test_no_text_of_a_clip_stands_for_two_places():
    for scene in every_plan():
        places = defaultdict(set)
        for ask in scene.asks:
            places[ask.text.lower().rstrip(".")].add(ask.events)
        assert all(len(events) == 1 for events in places.values())


def test_composites_are_joined_by_their_words():
    for kind, joints in (("then", THEN), ("while", WHILE)):
        assert all(any(joint in ask.text for joint in joints) for _, ask in composites(kind))


# ---------------------------------------------------------------- wording


def test_every_class_and_value_is_asked_for_in_every_wording():
    said = set()
    for scene in plans("scenes", "test", 600):
        for ask in scene.asks:
            if ask.kind == "single":
                subject = scene.groups[scene.events[ask.events[0]].group].subject
                wording = Wording.UNSEEN if ask.unseen else Wording.VALUE
                wording = wording if names_value(ask.text, subject) else Wording.BARE
                said.add((subject.sound, subject.value, wording))
    assert said == {(sound, value, wording) for sound in CLASSES for value in (0, 1) for wording in Wording}


def test_held_out_wording_stands_in_test_queries_only():
    for preset, split in SPLITS:
        flags = [(ask.unseen, is_held_out(ask.text)) for scene in plans(preset, split) for ask in scene.asks]
        assert all(flag == found for flag, found in flags)
        assert any(found for _, found in flags) == (split == "test")


def test_every_class_has_a_held_out_clause_of_its_own():
    assert len(set(HELD_OUT)) == len(HELD_OUT)
    for sound in CLASSES:
        for value in (0, 1):
            subject = Subject(sound, value, far=False)
            drawn = {
                phrase(stream((0,), n), subject, wording=Wording.UNSEEN, distance=False) for n in range(40)
            }
            assert drawn <= set(held_out(sound))
            assert len(drawn) == len(LEXICON[sound].values[value])


def test_known_wordings_never_hold_a_held_out_clause():
    for sound in CLASSES:
        for n in range(100):
            for wording in (Wording.BARE, Wording.VALUE):
                subject = Subject(sound, n % 2, False)
                assert not is_held_out(phrase(stream((1,), n), subject, wording=wording, distance=True))


def test_values_have_words_of_their_own():
    for words in LEXICON.values():
        assert not set(words.values[0]) & set(words.values[1])
        assert len(words.nouns) >= 3
        assert len(words.clauses) >= 3


def test_distance_is_told_truly():
    for far, right, wrong in ((True, FAR, NEAR), (False, NEAR, FAR)):
        for n in range(30):
            text = phrase(stream((2,), n), Subject("rain", 0, far), wording=Wording.BARE, distance=True)
            assert text.endswith(right)
            assert not text.endswith(wrong)


def test_articles_fit_the_next_word():
    texts = [ask.text.lower() for scene in every_plan() for ask in scene.asks]
    assert not [text for text in texts if re.search(r"\ba [aeiou]|\ban [^aeiou]", text)]


def test_sentences_start_with_a_capital_and_may_end_with_a_full_stop():
    texts = {finish(stream((3,), n), "a dog barks") for n in range(20)}
    assert texts == {"A dog barks", "A dog barks."}


# ---------------------------------------------------------------- errors


def test_unknown_preset_is_named_with_its_neighbour():
    with pytest.raises(DataError) as caught:
        scenes.plan("scene", "train", 0, 0)
    assert str(caught.value) == (
        "the procedural data set has no preset 'scene'. Did you mean 'scenes'? It has: short, long, scenes."
    )


def test_unknown_split_is_named_with_its_neighbour():
    with pytest.raises(DataError) as caught:
        scenes.plan("short", "vall", 0, 0)
    assert str(caught.value) == "preset 'short' has no split 'vall'. Did you mean 'val'? It has: train, val."


@pytest.mark.parametrize("index", [-1, 40])
def test_index_outside_the_split_is_named(index):
    with pytest.raises(DataError) as caught:
        scenes.clip("scenes", "val", index, 0)
    assert str(caught.value) == f"split 'val' of preset 'scenes' has clips 0 to 39; {index} was asked for."
