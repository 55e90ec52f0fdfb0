import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from amrbench.errors import RunError
from amrbench.types import Candidates
from amrbench_plugins.ranking.calibrator_training import expected_overlap
from amrbench_plugins.ranking.parts import Calibrated
from tests.plugins.ranking.lists import asked, drawn, iou_by_hand, listed


def examples(count, rng):
    """Return lists whose score says nothing, and whose evidence "iou" is nearly the overlap."""
    made = []
    for index in range(count):
        own = drawn(rng)
        start = float(rng.uniform(0, 25))
        window = (start, start + float(rng.uniform(1, 10)))
        near = own.moments.copy()
        near[:, :2] = np.sort(np.array(window) + rng.normal(0, 2, (len(own), 2)), 1)
        overlap = [iou_by_hand(row, window) for row in near]
        evidence = {**own.evidence, "iou": np.array(overlap, np.float32) + rng.normal(0, 0.02, len(own))}
        made.append((Candidates(near, evidence), asked(window, qid=str(index))))
    return made


@pytest.fixture(scope="module")
def fitted():
    return Calibrated().fit(examples(60, np.random.default_rng(0)))


def test_it_learns_which_evidence_tells_the_overlap(fitted):
    rank, better, worse = Calibrated().build(fitted), [], []
    for own, query in examples(60, np.random.default_rng(1)):
        better.append(iou_by_hand(rank(own, asked()).moments[0], query.windows[0]))
        worse.append(iou_by_hand(own.moments[0], query.windows[0]))
        best = max(iou_by_hand(row, query.windows[0]) for row in own.moments)
        assert better[-1] >= best - 0.15
    assert np.mean(better) > np.mean(worse) + 0.2


def test_the_score_is_the_stretched_overlap(fitted):
    rank, gaps = Calibrated().build(fitted), []
    for own, query in examples(60, np.random.default_rng(2)):
        ranked = rank(own, asked())
        gaps.append(np.abs(ranked.moments[:, 2] - expected_overlap(ranked, query)).mean())
    assert np.mean(gaps) < 0.08


def test_the_target_is_stretched_and_that_of_the_nearest_window():
    given = listed((0, 10, 0.9), (0, 6, 0.8), (0, 2, 0.7), (50, 60, 0.6))
    found = expected_overlap(given, asked((0, 10), (50, 59)))
    np.testing.assert_allclose(found, [1, 0.5, 0, 1], atol=1e-6)


def test_the_same_examples_give_the_same_numbers_whatever_the_global_random_state(fitted):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = Calibrated().fit(examples(60, np.random.default_rng(0)))
    assert json.dumps(again) == json.dumps(fitted)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_and_inference_mode_change_nothing(fitted):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.inference_mode():
            again = Calibrated().fit(examples(60, np.random.default_rng(0)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert again == fitted


def test_options_are_used(fitted):
    own = examples(60, np.random.default_rng(0))
    small = Calibrated(hidden=3, steps=5).fit(own)
    assert np.shape(small["hidden"]) == (3, 7)
    assert np.shape(fitted["hidden"]) == (32, 7)
    assert Calibrated(hidden=3, steps=5, decay=1).fit(own) != small
    assert Calibrated(hidden=3, steps=6).fit(own) != small


def test_queries_without_truth_or_moments_are_left_out():
    own = examples(10, np.random.default_rng(0))
    empty = replace(own[0][1], windows=((5.0, 5.0),))
    more = [*own, (own[0][0], asked()), (own[0][0], empty), (listed(), own[0][1])]
    short = Calibrated(steps=5)
    assert short.fit(more) == short.fit(own)


@pytest.mark.parametrize("count", [0, 2])
def test_a_few_moments_are_too_few(count):
    with pytest.raises(RunError) as error:
        Calibrated().fit(examples(count, np.random.default_rng(0)))
    assert str(error.value) == (
        "ranking 'calibrated': it learns from the moments of queries with ground truth, and "
        f"{8 * count} are too few; at least 20 are needed. Select on a larger annotated split, or leave it "
        "out of `ranking`."
    )
