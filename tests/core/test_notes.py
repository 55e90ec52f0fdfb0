"""Tests of notes: what commands say about work that they did."""

import warnings

import pytest

from amrbench.notes import Note, collected_notes, note


def test_each_text_is_collected_and_reported_once():
    reported: list[str] = []
    with collected_notes(reported.append) as notes:
        for text in ("a", "b", "a"):
            note(text)
    assert notes == reported == ["a", "b"]


def test_other_warnings_are_not_notes():
    with warnings.catch_warnings(record=True) as shown, collected_notes() as notes:
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    assert notes == []
    assert [str(warning.message) for warning in shown] == ["old"]


def test_a_note_names_the_place_that_issued_it():
    with pytest.warns(Note, match=r"a\.jsonl: one sentence\.") as issued:
        note("a.jsonl: one sentence.")
    assert issued[0].filename == __file__
