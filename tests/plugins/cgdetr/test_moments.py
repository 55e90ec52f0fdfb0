"""Annotated windows become spans, relevant frames and pairs."""

from __future__ import annotations

import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.types import Query
from amrbench_plugins.cgdetr.moment_labels import MomentLabels
from amrbench_plugins.cgdetr.moments import MomentTargets


def query(*windows: tuple[float, float], duration: float = 20.0) -> Query:
    return Query("q7", "a bell", "v3", duration, windows)


def labels(part: MomentTargets, asked: Query, frames: int = 20, seed: int = 0) -> MomentLabels:
    result = part.build()(asked, frames, 1.0, np.random.default_rng(seed))
    assert isinstance(result, MomentLabels)
    return result


def test_windows_become_fractions_of_the_recording() -> None:
    drawn = labels(MomentTargets(), query((2, 6), (10, 20)))
    assert drawn.spans.tolist() == pytest.approx(np.array([[0.2, 0.2], [0.75, 0.5]]))
    assert drawn.spans.dtype == np.float32


def test_the_first_window_or_all_are_relevant() -> None:
    asked = query((10, 12), (2, 4))
    assert np.flatnonzero(labels(MomentTargets(), asked).relevant).tolist() == [10, 11]
    both = labels(MomentTargets(saliency="all-windows"), asked)
    assert np.flatnonzero(both.relevant).tolist() == [2, 3, 10, 11]


def test_pairs_are_inside_and_outside() -> None:
    drawn = labels(MomentTargets(pairs=4), query((3, 9)))
    assert len(drawn.positives) == len(drawn.negatives) == 4
    assert drawn.relevant[drawn.positives].all()
    assert not drawn.relevant[drawn.negatives].any()


def test_a_visit_draws_from_more_windows_than_allowed() -> None:
    asked = query(*((second, second + 1.0) for second in range(0, 16, 2)))
    part = MomentTargets(max_windows=3)
    seen = {labels(part, asked, seed=seed).spans.tobytes() for seed in range(20)}
    assert len(seen) > 5
    assert len(labels(part, asked).spans) == 3


def test_the_first_window_is_the_first_that_a_visit_draws_as_in_the_reference() -> None:
    asked = query(*((second, second + 1.0) for second in range(0, 16, 2)))
    visits = [labels(MomentTargets(max_windows=3), asked, seed=seed) for seed in range(20)]
    first = [round(float(visit.spans[0, 0] * 20 - 0.5)) for visit in visits]
    assert [np.flatnonzero(visit.relevant).tolist() for visit in visits] == [[second] for second in first]
    assert len({*first}) > 3
    every = labels(MomentTargets(max_windows=3, saliency="all-windows"), asked)
    assert np.flatnonzero(every.relevant).tolist() == [*range(0, 16, 2)], "also those that are not drawn"


def test_a_visit_may_have_all_windows() -> None:
    asked = query(*((second, second + 0.5) for second in range(20)))
    drawn = labels(MomentTargets(max_windows=None), asked)
    assert drawn.spans[:, 0].tolist() == pytest.approx([(second + 0.25) / 20 for second in range(20)])
    few = query((3, 9), (12, 15))
    one, other = labels(MomentTargets(), few), labels(MomentTargets(max_windows=None), few)
    assert one.spans.tolist() == other.spans.tolist()
    assert one.positives.tolist() == other.positives.tolist(), "nothing is drawn for the windows"


def test_one_generator_state_gives_the_same_pairs() -> None:
    asked = query((3, 9), (12, 15))
    one, other = labels(MomentTargets(), asked, seed=3), labels(MomentTargets(), asked, seed=3)
    assert one.positives.tolist() == other.positives.tolist()
    assert one.negatives.tolist() == other.negatives.tolist()


def test_windows_far_past_the_end_are_cut() -> None:
    assert labels(MomentTargets(), query((10, 4800))).spans[0].tolist() == pytest.approx([0.75, 0.5])


def test_a_query_without_a_window_inside_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"query 'q7' of recording 'v3': no window lies inside its 20 s, .*; leave it out"
    ):
        labels(MomentTargets(), query((30, 40)))
