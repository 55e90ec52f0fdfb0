"""Sentences about procedural sounds."""

from amrbench_plugins.datasets.layouts.streams import stream
from amrbench_plugins.datasets.procedural.captions import Subject, Wording, finish, phrase
from amrbench_plugins.datasets.procedural.lexicon import (
    FAR,
    KNOWN_TO_ENCODERS,
    LEXICON,
    NEAR,
    NEW_TO_ENCODERS,
)
from amrbench_plugins.datasets.procedural.sounds import CLASSES
from tests.plugins.datasets.procedural.plans import HELD_OUT, held_out, is_held_out


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


def test_encoders_know_a_part_of_the_words_of_each_kind():
    for sound, words in LEXICON.items():
        known, new = KNOWN_TO_ENCODERS[sound], NEW_TO_ENCODERS[sound]
        for kind in ("nouns", "clauses"):
            assert getattr(known, kind) + getattr(new, kind) == getattr(words, kind)
            assert getattr(new, kind)
        assert all(new.values)
        assert words.values[0] == known.values[0] + new.values[0]
        assert known.unseen == new.unseen == words.unseen


def test_a_phrase_is_of_the_lexicon_that_is_given():
    for lexicon, other in ((KNOWN_TO_ENCODERS, NEW_TO_ENCODERS), (NEW_TO_ENCODERS, KNOWN_TO_ENCODERS)):
        for n in range(40):
            text = phrase(stream((4,), n), Subject("rain", 1, False), wording=Wording.VALUE, distance=False,
                          lexicon=lexicon)  # fmt: skip
            assert any(value in text for value in lexicon["rain"].values[1])
            assert not any(value in text for value in other["rain"].values[1])


def test_the_named_distance_is_true():
    for far, right, wrong in ((True, FAR, NEAR), (False, NEAR, FAR)):
        for n in range(30):
            text = phrase(stream((2,), n), Subject("rain", 0, far), wording=Wording.BARE, distance=True)
            assert text.endswith(right)
            assert not text.endswith(wrong)


def test_sentences_start_with_a_capital_and_may_end_with_a_full_stop():
    texts = {finish(stream((3,), n), "a dog barks") for n in range(20)}
    assert texts == {"A dog barks", "A dog barks."}
