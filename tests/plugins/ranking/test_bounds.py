"""Clipping and rounding of moments."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from amrbench_plugins.ranking.parts import Clip, Round
from tests.plugins.ranking.lists import QUERY, listed


def test_clip_moves_ends_to_the_edges_of_the_recording() -> None:
    clipped = Clip().build({})(listed((-3, 20, 0.5), (80, 90, 0.4), (100, 120, 0.3)), QUERY).moments
    np.testing.assert_allclose(
        clipped, listed((0, 20, 0.5), (80, 84.4, 0.4), (84.4, 84.4, 0.3)).moments, rtol=1e-7
    )
    assert clipped.dtype == np.float32


def test_clip_to_a_number_ignores_the_recording() -> None:
    clipped = Clip(to=300).build({})(listed((-3, 90, 0.5), (299, 301, 0.4)), QUERY).moments
    np.testing.assert_array_equal(clipped, listed((0, 90, 0.5), (299, 300, 0.4)).moments)


@pytest.mark.parametrize("to", [0, -1, "record", None])
def test_clip_needs_a_last_second(to: object) -> None:
    with pytest.raises(ValidationError):
        Clip.model_validate({"to": to})


def test_round_takes_halves_to_the_even_second() -> None:
    given = listed((0.5, 1.5, 0.1), (2.5, 8.5, 0.1), (7.5, 8.5, 0.1), (3.49, 3.51, 0.1))
    rounded = Round().build({})(given, QUERY).moments
    assert rounded[:, :2].tolist() == [[0, 2], [2, 8], [8, 8], [3, 4]]
    assert rounded.dtype == np.float32


def test_round_first_rounds_all_numbers_to_four_decimals() -> None:
    rounded = Round().build({})(listed((7.49999, 9, 0.12344)), QUERY).moments
    np.testing.assert_allclose(rounded, listed((8, 9, 0.1234)).moments, rtol=1e-6)


def test_round_to_another_step() -> None:
    rounded = Round(to=0.1).build({})(listed((0.26, 1.04, 0.5)), QUERY).moments
    np.testing.assert_allclose(rounded, listed((0.3, 1.0, 0.5)).moments, rtol=1e-6)


def test_empty_lists_stay_empty() -> None:
    for part in (Clip(), Round()):
        assert part.build({})(listed(), QUERY).moments.shape == (0, 3)


def test_order_evidence_and_input_are_left_alone() -> None:
    given = listed((5.2, 9.9, 0.2), (1.1, 2.2, 0.9), iou=[0.3, 0.4])
    before = given.moments.copy()
    for part in (Clip(), Round()):
        ranked = part.build({})(given, QUERY)
        np.testing.assert_allclose(ranked.moments[:, 2], [0.2, 0.9], rtol=1e-6)
        assert ranked.evidence["iou"] is given.evidence["iou"]
    np.testing.assert_array_equal(given.moments, before)
