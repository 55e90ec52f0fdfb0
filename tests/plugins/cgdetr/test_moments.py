"""Annotated windows become spans, relevant frames and pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amrbench.data.collate import collate_targets
from amrbench.errors import DataError
from amrbench.types import Query
from amrbench_plugins.cgdetr.moments import MomentLabels, MomentTargets


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
    # The frames stay those of the first window, whichever spans are drawn.
    assert all(np.flatnonzero(labels(part, asked, seed=seed).relevant).tolist() == [0] for seed in range(5))


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


SECOND = st.integers(0, 24).map(float)
WINDOW = st.tuples(SECOND, st.floats(0.01, 9)).map(lambda pair: (pair[0], pair[0] + pair[1]))
QUERIES = st.builds(lambda windows, duration: query((0.0, 0.1), *windows, duration=duration),
                    st.lists(WINDOW, max_size=12), st.floats(1, 30))  # fmt: skip
PARTS = st.builds(
    MomentTargets,
    saliency=st.sampled_from(["first-window", "all-windows"]),
    max_windows=st.sampled_from([None, 1, 3, 5]),
    pairs=st.integers(1, 5),
)


@given(PARTS, st.lists(st.tuples(QUERIES, st.integers(1, 30)), min_size=1, max_size=8))
def test_a_whole_batch_equals_one_call_for_each_query(
    part: MomentTargets, visits: list[tuple[Query, int]]
) -> None:
    label = part.build()
    used, plain = ([np.random.default_rng(seed) for seed in range(len(visits))] for _ in range(2))
    queries, frames = [asked for asked, _ in visits], [count for _, count in visits]
    target = label.of_batch(queries, frames, 1.0, used)
    calls = [label(*visit, 1.0, rng) for visit, rng in zip(visits, plain, strict=True)]
    expected = collate_targets(calls, max(frames))
    for name in vars(expected):
        one, two = getattr(target, name), getattr(expected, name)
        assert one.dtype == two.dtype
        assert torch.equal(one, two), name
    assert [rng.random() for rng in used] == [rng.random() for rng in plain]


def test_the_query_without_a_window_is_named_in_a_batch_too() -> None:
    queries = [query((1, 2)), query((30, 40)), query((1, 2))]
    with pytest.raises(DataError) as refused:
        MomentTargets().build().of_batch(queries, [20] * 3, 1.0, [np.random.default_rng(0)] * 3)
    assert str(refused.value) == (
        "query 'q7' of recording 'v3': no window lies inside its 20 s, so there is nothing to learn; leave "
        "it out of the training split."
    )
