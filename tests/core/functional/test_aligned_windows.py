from __future__ import annotations

import pytest

from amrbench.errors import DataError
from amrbench.functional.aligned_windows import (
    align,
    annotated_windows,
    same_recording,
    scorable,
    scored_rows,
    sentence_key,
)
from amrbench.types import Query
from tests.core.functional.samples import WINDOWS, moments, query


def test_windows_are_paired_by_id_in_the_order_of_the_annotations() -> None:
    truth = [query(2, [(0, 1)]), query("1", [(3, 5), (7, 9)])]
    predictions = [moments("1", [(3, 4)], [0.5]), moments("2", [(0, 2), (1, 3)], [0.9, 0.1])]
    windows = align(predictions, truth)
    assert [own.qid for own in windows.queries] == [2, "1"]
    assert windows.listed.values.tolist() == [[0, 2, 0.9], [1, 3, 0.1], [3, 4, 0.5]]
    assert windows.truth.values.tolist() == [[0, 1], [3, 5], [7, 9]]
    assert windows.listed.counts.tolist() == [2, 1]
    assert (windows.missing, windows.extra, windows.unanswerable) == ((), (), ())


def test_queries_without_a_usable_window_are_left_out_with_their_predictions() -> None:
    windows = align(
        [moments("a", WINDOWS), moments("b", WINDOWS)], [query("a", [(1, 1)]), query("b", WINDOWS)]
    )
    assert [own.qid for own in windows.queries] == ["b"]
    assert windows.unanswerable == ("a",)
    assert windows.listed.counts.tolist() == [1]


def test_the_order_replaces_missing_scores_and_it_is_known_that_they_are_missing() -> None:
    truth = [query("a", WINDOWS), query("b", WINDOWS)]
    without = align([moments("a", [(0, 1), (1, 2)]), moments("b", WINDOWS, [0.5])], truth)
    assert not without.has_scores
    assert without.listed.values[:2, 2].tolist() == [0, -1]
    assert align([moments("a", []), moments("b", WINDOWS, [0.5])], truth).has_scores


def test_ids_of_one_side_are_an_error_unless_they_may_differ() -> None:
    truth, predictions = [query("a", WINDOWS)], [moments("a", WINDOWS), moments("b", WINDOWS)]
    with pytest.raises(DataError, match="1 predictions belong to no annotated query: 'b'"):
        align(predictions, truth)
    assert align(predictions, truth, partial=True).extra == ("b",)


def test_a_query_is_scorable_if_a_window_has_a_usable_length() -> None:
    windows = [(), ((1, 1),), ((0, 1600),), ((1, 1), (2, 3)), ((0, 1500),)]
    queries = [Query(number, "a", "v", 2000.0, own) for number, own in enumerate(windows)]
    assert scorable(queries).tolist() == [False, False, False, True, True]
    assert scored_rows(annotated_windows(queries)).tolist() == [3, 4]
    assert scorable([]).tolist() == []


def test_letters_of_ids_may_be_composed_or_decomposed() -> None:
    assert same_recording("caf\u00e9", "cafe\u0301")
    assert not same_recording("cafe", "caf\u00e9")


def test_sentences_are_compared_without_case_spaces_and_a_full_stop() -> None:
    assert sentence_key(" The  caf\u00e9 opens . ") == sentence_key("the CAFE\u0301 opens")
    assert sentence_key("a dog") != sentence_key("a dog?")
