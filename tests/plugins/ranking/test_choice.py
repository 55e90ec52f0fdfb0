import pytest

from amrbench.errors import RunError
from amrbench_plugins.ranking.choice import best_value, fitted_number
from tests.plugins.ranking.lists import asked, listed


def plus(candidates, value):
    """Add a value to the score of the second moment."""
    scores = candidates.moments[:, 2].copy()
    scores[1] += value
    return candidates.with_scores(scores)


GIVEN = listed((0, 10, 0.5), (20, 30, 0.2))
FIRST, SECOND = asked((0, 10)), asked((20, 30))


def test_the_value_with_the_best_recall_is_chosen():
    assert best_value("x", (0.0, 0.5, 1.0), plus, [(GIVEN, SECOND)]) == 0.5
    assert best_value("x", (0.0, 0.5, 1.0), plus, [(GIVEN, SECOND), (GIVEN, FIRST), (GIVEN, FIRST)]) == 0


def test_the_first_of_equal_values_is_chosen():
    assert best_value("x", (0.1, 0.0, 0.2), plus, [(GIVEN, FIRST)]) == 0.1


def test_queries_without_truth_or_moments_do_not_count():
    nothing = (listed(), FIRST)
    assert best_value("x", (0.0, 1.0), lambda own, value: plus(own, value) if len(own) else own,
                      [nothing, (GIVEN, asked()), (GIVEN, SECOND)]) == 1  # fmt: skip


@pytest.mark.parametrize("examples", [[], [(GIVEN, asked())], [(GIVEN, asked((5, 5)))]])
def test_a_choice_needs_ground_truth(examples):
    with pytest.raises(RunError) as error:
        best_value("x", (0.0,), plus, examples)
    assert str(error.value) == (
        f"ranking 'x': none of the {len(examples)} queries it should be fitted on has ground truth. Select "
        "on an annotated split, or give the number as an option."
    )


@pytest.mark.parametrize("fitted", [{}, {"share": "0.5"}, {"share": True}, {"share": None}])
def test_what_was_fitted_is_a_number(fitted):
    with pytest.raises(RunError) as error:
        fitted_number("x", fitted, "share")
    assert str(error.value) == (
        "ranking 'x': no fitted 'share' is known. Give the number as an option, or run the recipe again so "
        "that it is fitted."
    )
    assert fitted_number("x", {"share": 1}, "share") == 1.0
