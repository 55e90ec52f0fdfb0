from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.evaluation.query_groups import group_scores, grouping_keys, query_groups
from amrbench.functional.metrics import STANDARD, evaluate, score, score_by
from amrbench.types import Query
from tests.core.functional.samples import query
from tests.oracle.reference_predictions import published


def indices(groups: dict[str, np.ndarray]) -> dict[str, list[int]]:
    return {name: rows.tolist() for name, rows in groups.items()}


def test_ranges_hold_their_upper_edge() -> None:
    widths = (1.0, 2.0, 2.5, 5.0, 30.0, 30.5)
    queries = [query(number, [(0, width)]) for number, width in enumerate(widths)]
    assert indices(query_groups(queries)["mean window, s"]) == {
        "up to 2": [0, 1],
        "2 to 5": [2, 3],
        "10 to 30": [4],
        "over 30": [5],
    }


def test_ranges_hold_their_upper_edge_whatever_the_last_bits() -> None:
    tenths = [(start / 10, (start + 20) / 10) for start in range(100)]
    assert max(end - start for start, end in tenths) > 2
    queries = [query(number, [window]) for number, window in enumerate(tenths)]
    assert indices(query_groups(queries)["mean window, s"]) == {"up to 2": list(range(100))}


def test_the_width_is_the_mean_of_the_windows_that_are_scored() -> None:
    queries = [query(0, [(0, 1), (2, 8), (9, 9), (0, 1600)])]
    assert indices(query_groups(queries)["mean window, s"]) == {"2 to 5": [0]}
    assert indices(query_groups(queries)["windows"]) == {"2": [0]}


def test_numbers_of_windows_are_named_by_their_range() -> None:
    queries = [
        query(count, [(second, second + 1) for second in range(count)]) for count in (1, 3, 4, 5, 6, 11)
    ]
    assert indices(query_groups(queries)["windows"]) == {
        "1": [0],
        "3": [1],
        "4 to 5": [2, 3],
        "6 to 10": [4],
        "over 10": [5],
    }


def test_recordings_are_grouped_by_their_length() -> None:
    queries = [replace(query(length, [(0, 1)]), duration=float(length)) for length in (60, 61, 240, 300)]
    assert indices(query_groups(queries)["recording, s"]) == {
        "up to 60": [0],
        "60 to 120": [1],
        "180 to 240": [2],
        "over 240": [3],
    }


def test_keys_with_few_plain_values_are_grouped_by() -> None:
    queries = [
        Query(
            number, "a", "v", 9.0, ((0, 1),), {"kind": "xy"[number % 2], "same": 1, "no": number, "list": [1]}
        )
        for number in range(14)
    ]
    assert grouping_keys(queries) == ["kind"]
    assert list(query_groups(queries)) == ["mean window, s", "windows", "recording, s", "kind"]
    assert list(query_groups(queries, [])) == ["mean window, s", "windows", "recording, s"]
    assert len(query_groups(queries, ["no"])["no"]) == 14


def test_a_key_that_some_queries_lack_is_grouped_by() -> None:
    queries = [query(0, [(0, 1)], twin=True), query(1, [(0, 1)])]
    assert grouping_keys(queries) == ["twin"]
    assert indices(query_groups(queries)["twin"]) == {"(none)": [1], "true": [0]}


def test_a_key_with_the_name_of_another_grouping_replaces_nothing() -> None:
    queries = [replace(query(kind, [(0, 1)]), extra={"windows": kind}) for kind in ("open", "shut")]
    groups = query_groups(queries)
    assert indices(groups["windows"]) == {"1": [0, 1]}
    assert indices(groups["windows (key)"]) == {"open": [0], "shut": [1]}


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(DataError, match="no query has the key 'kin'; they have 'kind'. Did you mean 'kind'"):
        query_groups([query(0, [(0, 1)], kind="x")], ["kin"])


def test_groups_have_the_metrics_of_the_scorer() -> None:
    case = published("castella_test_unrounded")
    truth = [replace(own, extra={"parity": index % 2}) for index, own in enumerate(case.truth)]
    evaluation = evaluate(case.predictions, truth)
    values = np.column_stack([metric.values(evaluation) for metric in STANDARD])
    groups = group_scores(evaluation.queries, values, STANDARD)
    by_key = {own.value: own for own in groups if own.by == "parity"}
    for value, scores in score_by(case.predictions, truth, "parity").items():
        assert by_key[value].queries == scores.queries
        assert by_key[value].metrics == pytest.approx(scores.metrics, abs=1e-9)
    short = [own for own in truth if own.duration <= 60]
    kept = {own.qid for own in short}
    known = score([own for own in case.predictions if own.qid in kept], short)
    (found,) = [own for own in groups if (own.by, own.value) == ("recording, s", "up to 60")]
    assert (found.queries, found.recordings) == (known.queries, len({own.vid for own in short}))
    assert found.metrics == pytest.approx(known.metrics, abs=1e-9)


def test_every_query_is_in_one_group_of_each_kind() -> None:
    queries = [own for own in published("castella_test_unrounded").truth if own.windows]
    for groups in query_groups(queries).values():
        assert sorted(np.concatenate(list(groups.values())).tolist()) == list(range(len(queries)))
