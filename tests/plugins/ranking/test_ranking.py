"""Clipping and rounding of moments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from amrbench.types import Query
from amrbench_plugins.ranking import Clip, Round

QUERY = Query("1", "a dog", "v", 84.4, ())


def rows(*moments: Sequence[float]) -> NDArray[np.float32]:
    return np.array(moments, np.float32)


def test_clip_moves_ends_to_the_edges_of_the_recording() -> None:
    moments = Clip().build()(rows((-3, 20, 0.5), (80, 90, 0.4), (100, 120, 0.3)), QUERY)
    np.testing.assert_allclose(moments, rows((0, 20, 0.5), (80, 84.4, 0.4), (84.4, 84.4, 0.3)))
    assert moments.dtype == np.float32


def test_clip_to_a_number_ignores_the_recording() -> None:
    moments = Clip(to=300).build()(rows((-3, 90, 0.5), (299, 301, 0.4)), QUERY)
    np.testing.assert_allclose(moments, rows((0, 90, 0.5), (299, 300, 0.4)))


@pytest.mark.parametrize("to", [0, -1, "record", None])
def test_clip_needs_a_last_second(to: object) -> None:
    with pytest.raises(ValidationError):
        Clip.model_validate({"to": to})


def test_round_takes_halves_to_the_even_second() -> None:
    moments = Round().build()(
        rows((0.5, 1.5, 0.1), (2.5, 8.5, 0.1), (7.5, 8.5, 0.1), (3.49, 3.51, 0.1)), QUERY
    )
    assert moments[:, :2].tolist() == [[0, 2], [2, 8], [8, 8], [3, 4]]


def test_round_first_rounds_all_numbers_to_four_decimals() -> None:
    moments = Round().build()(rows((7.49999, 9, 0.12344)), QUERY)
    np.testing.assert_allclose(moments, rows((8, 9, 0.1234)), rtol=1e-6)


def test_round_to_another_step() -> None:
    moments = Round(to=0.1).build()(rows((0.26, 1.04, 0.5)), QUERY)
    np.testing.assert_allclose(moments, rows((0.3, 1.0, 0.5)), rtol=1e-6)


def test_empty_lists_stay_empty() -> None:
    nothing = np.zeros((0, 3), np.float32)
    for part in (Clip(), Round()):
        assert part.build()(nothing, QUERY).shape == (0, 3)


def test_order_and_input_are_left_alone() -> None:
    moments = rows((5.2, 9.9, 0.2), (1.1, 2.2, 0.9))
    before = moments.copy()
    for part in (Clip(), Round()):
        np.testing.assert_allclose(part.build()(moments, QUERY)[:, 2], [0.2, 0.9], rtol=1e-6)
    np.testing.assert_array_equal(moments, before)
