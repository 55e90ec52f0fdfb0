"""Notes about sentences and recordings of which only the beginning is used."""

import pytest

from amrbench.data.cut_notes import note_cut_sentences, note_cut_split, note_long_sentences, shortened
from amrbench.notes import Note, collected_notes
from amrbench.slots.model import Limits
from amrbench.types import Query
from tests.small_world.data import LoudnessEncoder, drawn_source

LONG = "one two three four five six seven eight nine ten"
QUERIES = (
    Query("1", "a dog", "a", 9.0, ((0.0, 1.0),)),
    Query("2", LONG, "b", 4.0, ((0.0, 1.0),)),
    Query("3", LONG, "a", 9.0, ((0.0, 1.0),)),
)


def test_each_cut_sentence_and_recording_is_counted_once():
    with collected_notes() as notes:
        note_cut_split("val.jsonl", drawn_source(QUERIES), Limits(frames=6, words=4))
    assert notes == [
        "val.jsonl: of 1 of 2 sentences the model gets the first 4 tokens only ('limits.words'): "
        "'one two three four five six seven eight ... (10)'.",
        "val.jsonl: of 1 of 2 recordings the model gets the first 6 s only ('limits.frames'): 'a (9 s)'.",
    ]


@pytest.mark.parametrize("limits", [Limits(frames=9, words=10), Limits(frames=300, words=32)])
def test_what_fits_needs_no_note(limits):
    with collected_notes() as notes:
        note_cut_split("val.jsonl", drawn_source(QUERIES), limits)
    assert notes == []


def test_many_sentences_are_counted():
    with pytest.warns(
        Note, match=r"of 1,000 of 1,001 sentences .* 'b 0 \(33\)', 'b 1 \(33\)', .* and 997 more"
    ):
        note_cut_sentences(
            "a.wav", {"a": 32} | {f"b {number}": 33 for number in range(1000)}, Limits(frames=1, words=32)
        )


class CuttingEncoder(LoudnessEncoder):
    """Reads all sentences but the first only in part."""

    def too_long(self, sentences):
        return sentences[1:]


def test_sentences_that_an_encoder_cuts_are_named():
    with collected_notes() as notes:
        note_long_sentences("train.jsonl", ["a dog", LONG], LoudnessEncoder(None))
        note_long_sentences("val.jsonl", ["a dog", LONG], CuttingEncoder(None))
    assert notes == [
        "val.jsonl: of 1 of 2 sentences the encoder toy-features reads the beginning only, because they have "
        "too many tokens: 'one two three four five six seven eight ...'."
    ]


def test_only_long_sentences_are_shortened():
    assert shortened("a" * 40) == "a" * 40
    assert shortened("a" * 41) == f"{'a' * 40}..."
