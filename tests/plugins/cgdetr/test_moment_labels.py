"""A whole batch has the labels of its queries."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amrbench.data.collate import collate_targets
from amrbench.errors import DataError
from amrbench.functional.targets import as_windows, clip_windows
from amrbench.types import Query
from amrbench_plugins.cgdetr.moments import MomentTargets
from tests.folders import DATA


def query(*windows: tuple[float, float], duration: float = 20.0) -> Query:
    return Query("q7", "a bell", "v3", duration, windows)


SECOND = st.integers(0, 24).map(float)
WINDOW = st.tuples(SECOND, st.floats(0.01, 9)).map(lambda pair: (pair[0], pair[0] + pair[1]))
QUERIES = st.builds(lambda windows, duration: query((0.0, 0.1), *windows, duration=duration),
                    st.lists(WINDOW, max_size=12), st.floats(1, 30))  # fmt: skip
PARTS = st.builds(
    MomentTargets,
    saliency=st.sampled_from(["first-window", "all-windows"]),
    max_windows=st.sampled_from([None, 1, 3, 5]),
    pairs=st.integers(1, 5),
    label_unit=st.sampled_from(["duration", "hop"]),
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


def test_frames_of_one_hop_are_labelled_as_the_reference_of_qd_detr_does() -> None:
    cases = json.loads((DATA / "cgdetr" / "targets.json").read_text())["cases"]
    # The numbers of the reference were recorded without the shuffle of more than five windows.
    label, compared = MomentTargets(label_unit="hop", max_windows=None).build(), 0
    for case in cases:
        asked = query(*map(tuple, case["windows"]), duration=case["duration"])
        kept = clip_windows(as_windows(case["windows"]), case["duration"])
        if not np.array_equal(kept, case["windows"]):
            continue  # The reference does not cut windows.
        found = label(asked, case["frames"], case["clip_length"], np.random.default_rng(0)).relevant
        first, last = case["first_of_clip_unit"], case["last_of_clip_unit"]
        assert np.flatnonzero(found).tolist() == list(range(first, last + 1))
        compared += 1
    assert compared > 150


@pytest.mark.parametrize(("unit", "frames"), [("duration", [5, 6, 7, 8, 9]), ("hop", [*range(10, 20)])])
def test_a_frame_is_a_share_of_the_duration_or_one_hop(unit: str, frames: list[int]) -> None:
    label = MomentTargets.model_validate({"label_unit": unit}).build()
    found = label(query((10, 20), duration=40.0), 20, 1.0, np.random.default_rng(0)).relevant
    assert np.flatnonzero(found).tolist() == frames


def test_the_query_without_a_window_is_named_in_a_batch_too() -> None:
    queries = [query((1, 2)), query((30, 40)), query((1, 2))]
    with pytest.raises(DataError) as refused:
        MomentTargets().build().of_batch(queries, [20] * 3, 1.0, [np.random.default_rng(0)] * 3)
    assert str(refused.value) == (
        "query 'q7' of recording 'v3': no window lies inside its 20 s, so there is nothing to learn; leave "
        "it out of the training split."
    )
