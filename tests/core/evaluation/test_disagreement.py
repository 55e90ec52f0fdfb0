from __future__ import annotations

import numpy as np
import pytest

from amrbench.evaluation.disagreement import DisagreedQuery, disagreement
from amrbench.functional.bootstrap import Difference, differences
from amrbench.types import Floats
from tests.core.functional.samples import query

QUERIES = [query(number, [(0, 1)]) for number in range(4)]
NONE = Difference(0.0, 0.0, 0.0, 1.0)


def test_single_models_are_counted_as_in_a_table_of_two_rows_and_columns() -> None:
    first, second = np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 1, 0])
    found = disagreement(("a", "b"), "R1@0.5", QUERIES, (first, second), NONE)
    assert (found.both, found.only_first, found.only_second, found.neither) == (1, 1, 1, 1)
    assert found.queries == (
        DisagreedQuery("1", "v", "left out", 1.0, 0.0),
        DisagreedQuery("2", "v", "left out", 0.0, 1.0),
    )


def test_numbers_of_seeds_are_means_over_their_pairs() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.integers(2, size=(3, 4)), rng.integers(2, size=(2, 4))
    found = disagreement(("a", "b"), "R1@0.5", QUERIES, (one.mean(axis=0), two.mean(axis=0)), NONE)
    pairs = [(a, b) for a in one for b in two]
    assert found.both == pytest.approx(np.mean([(a & b).sum() for a, b in pairs]))
    assert found.only_first == pytest.approx(np.mean([(a & (1 - b)).sum() for a, b in pairs]))
    assert found.only_second == pytest.approx(np.mean([((1 - a) & b).sum() for a, b in pairs]))
    assert found.neither == pytest.approx(np.mean([((1 - a) & (1 - b)).sum() for a, b in pairs]))


def test_queries_that_half_of_the_seeds_answer_are_not_listed() -> None:
    first, second = np.array([0.0, 0.5, 1.0, 0.25]), np.array([0.75, 0, 0.25, 0.5])
    found = disagreement(("a", "b"), "R1@0.5", QUERIES, (first, second), NONE)
    assert [(own.qid, own.first, own.second) for own in found.queries] == [("2", 1, 0.25), ("0", 0, 0.75)]


def exchanged(one: Floats, two: Floats, recordings: list[str], rng: np.random.Generator) -> float:
    """Return the p-value of two systems whose answers are exchanged at random in each recording."""
    names = sorted(set(recordings))
    sign = dict(zip(names, 2 * rng.integers(2, size=len(names)) - 1, strict=True))
    values = (one - two) * np.array([sign[name] for name in recordings])
    return differences(100 * values[:, None], recordings, draws=1000)[0].p


def test_answers_exchanged_at_random_are_seldom_called_different() -> None:
    rng = np.random.default_rng(0)
    recordings = [f"v{vid}" for vid in range(150) for _ in range(3)]
    easy = np.repeat(rng.uniform(0, 1, (2, 150)), 3, axis=1)
    one, two = (rng.random((2, 450)) < easy).astype(np.float64)
    called = [exchanged(one, two, recordings, rng) < 0.05 for _ in range(200)]
    assert 0.02 <= np.mean(called) <= 0.08
