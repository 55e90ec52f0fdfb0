"""Annotated windows become spans, relevant frames and pairs."""

from __future__ import annotations

import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.types import Query
from amrbench_plugins.cgdetr.moments import MomentLabels, Moments


def query(*windows: tuple[float, float], duration: float = 20.0) -> Query:
    return Query("q7", "a bell", "v3", duration, windows)


def labels(part: Moments, asked: Query, frames: int = 20, seed: int = 0) -> MomentLabels:
    found = part.build()(asked, frames, 1.0, np.random.default_rng(seed))
    assert isinstance(found, MomentLabels)
    return found


def test_windows_become_shares_of_the_recording() -> None:
    found = labels(Moments(), query((2, 6), (10, 20)))
    assert found.spans.tolist() == pytest.approx(np.array([[0.2, 0.2], [0.75, 0.5]]))
    assert found.spans.dtype == np.float32


def test_the_first_window_or_all_are_relevant() -> None:
    asked = query((10, 12), (2, 4))
    assert np.flatnonzero(labels(Moments(), asked).relevant).tolist() == [10, 11]
    both = labels(Moments(saliency="all-windows"), asked)
    assert np.flatnonzero(both.relevant).tolist() == [2, 3, 10, 11]


def test_pairs_lie_inside_and_outside() -> None:
    found = labels(Moments(pairs=4), query((3, 9)))
    assert len(found.positives) == len(found.negatives) == 4
    assert found.relevant[found.positives].all()
    assert not found.relevant[found.negatives].any()


def test_a_visit_draws_from_more_windows_than_allowed() -> None:
    asked = query(*((second, second + 1.0) for second in range(0, 16, 2)))
    part = Moments(max_windows=3)
    seen = {labels(part, asked, seed=seed).spans.tobytes() for seed in range(20)}
    assert len(seen) > 5
    assert len(labels(part, asked).spans) == 3
    # The frames stay those of the first window, whichever spans are drawn.
    assert all(np.flatnonzero(labels(part, asked, seed=seed).relevant).tolist() == [0] for seed in range(5))


def test_a_visit_may_see_all_windows() -> None:
    asked = query(*((second, second + 0.5) for second in range(20)))
    found = labels(Moments(max_windows=None), asked)
    assert found.spans[:, 0].tolist() == pytest.approx([(second + 0.25) / 20 for second in range(20)])
    few = query((3, 9), (12, 15))
    one, other = labels(Moments(), few), labels(Moments(max_windows=None), few)
    assert one.spans.tolist() == other.spans.tolist()
    assert one.positives.tolist() == other.positives.tolist(), "and draws nothing for it"


def test_one_generator_state_gives_one_answer() -> None:
    asked = query((3, 9), (12, 15))
    one, other = labels(Moments(), asked, seed=3), labels(Moments(), asked, seed=3)
    assert one.positives.tolist() == other.positives.tolist()
    assert one.negatives.tolist() == other.negatives.tolist()


def test_windows_far_past_the_end_are_cut() -> None:
    assert labels(Moments(), query((10, 4800))).spans[0].tolist() == pytest.approx([0.75, 0.5])


def test_a_query_without_a_window_inside_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"query 'q7' of recording 'v3': no window lies inside its 20 s, .*; leave it out"
    ):
        labels(Moments(), query((30, 40)))
