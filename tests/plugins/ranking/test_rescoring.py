import numpy as np
import pytest
from pydantic import ValidationError

from amrbench.errors import RunError
from amrbench_plugins.ranking.parts import ClassIou, SaliencyContrast
from amrbench_plugins.ranking.rescoring import SHARES, WEIGHTS
from tests.plugins.ranking.lists import QUERY, asked, listed

GIVEN = listed(
    *((0, 10, 0.9), (20, 30, 0.8), (40, 50, 0.7)),
    **{"class": [0.9, 0.8, 0.7], "iou": [0.1, 0.8, 0.9]},
    saliency_inside=[1, 2, 3],
    saliency_outside=[1, -1, 0],
)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_class_and_overlap_are_multiplied(share):
    ranked = ClassIou(share=share).build({})(GIVEN, QUERY)
    expected = {
        start: class_ ** (1 - share) * overlap**share
        for start, class_, overlap in ((0, 0.9, 0.1), (20, 0.8, 0.8), (40, 0.7, 0.9))
    }
    assert ranked.moments[:, 0].tolist() == sorted(expected, key=lambda start: -expected[start])
    np.testing.assert_allclose(ranked.moments[:, 2], sorted(expected.values(), reverse=True), rtol=1e-5)


def test_negative_evidence_counts_as_zero():
    given = listed((0, 1, 0.5), (2, 3, 0.4), **{"class": [-0.5, 0.4], "iou": [0.5, -0.1]})
    assert ClassIou(share=0.5).build({})(given, QUERY).moments[:, 2].tolist() == [0, 0]


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_contrast_is_added(weight):
    ranked = SaliencyContrast(weight=weight).build({})(GIVEN, QUERY).moments
    expected = sorted([0.9, 0.8 + 3 * weight, 0.7 + 3 * weight], reverse=True)
    np.testing.assert_allclose(ranked[:, 2], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("part", "truth", "expected"),
    [
        (ClassIou(), (0, 10), {"share": 0.0}),
        (ClassIou(), (20, 30), {"share": 0.1}),
        (ClassIou(), (40, 50), {"share": 0.6}),
        (SaliencyContrast(), (0, 10), {"weight": 0.0}),
        (SaliencyContrast(), (20, 30), {"weight": 0.05}),
    ],
)
def test_the_number_is_fitted_to_the_truth(part, truth, expected):
    assert part.learns
    fitted = part.fit([(GIVEN, asked(truth))])
    assert fitted == expected
    assert part.build(fitted)(GIVEN, QUERY).moments[0, :2].tolist() == list(truth)


@pytest.mark.parametrize("part", [ClassIou(share=0.2), SaliencyContrast(weight=1.0)])
def test_a_given_number_is_not_fitted(part):
    assert not part.learns
    assert len(part.build({})(GIVEN, QUERY)) == 3


@pytest.mark.parametrize("part", [ClassIou(), SaliencyContrast()])
def test_nothing_is_scored_before_the_number_is_fitted(part):
    with pytest.raises(RunError, match=r"no fitted '(share|weight)' is known"):
        part.build({})


@pytest.mark.parametrize(
    ("part", "options"), [(ClassIou, {"share": 1.5}), (SaliencyContrast, {"weight": -1})]
)
def test_numbers_have_bounds(part, options):
    with pytest.raises(ValidationError):
        part.model_validate(options)


def test_the_values_that_are_tried_are_those_of_the_descriptions():
    assert SHARES == (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
    assert (WEIGHTS[:4], WEIGHTS[-1]) == ((0, 0.01, 0.02, 0.05), 10)
