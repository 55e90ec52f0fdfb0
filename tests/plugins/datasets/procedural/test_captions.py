"""Sentences about procedural sounds."""

from amrbench_plugins.datasets.procedural.captions import Subject, Wording, finish, phrase
from amrbench_plugins.datasets.procedural.lexicon import FAR, LEXICON, NEAR
from amrbench_plugins.datasets.procedural.planning import stream
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


def test_the_named_distance_is_true():
    for far, right, wrong in ((True, FAR, NEAR), (False, NEAR, FAR)):
        for n in range(30):
            text = phrase(stream((2,), n), Subject("rain", 0, far), wording=Wording.BARE, distance=True)
            assert text.endswith(right)
            assert not text.endswith(wrong)


def test_sentences_start_with_a_capital_and_may_end_with_a_full_stop():
    texts = {finish(stream((3,), n), "a dog barks") for n in range(20)}
    assert texts == {"A dog barks", "A dog barks."}
