import math

import numpy as np
import pytest

from amrbench_plugins.ranking.parts import Nms, SoftNms
from tests.plugins.ranking.lists import QUERY, drawn, iou_by_hand, listed


def nms_by_hand(rows, overlap, keep):
    kept = []
    for row in rows:
        if len(kept) < keep and all(iou_by_hand(row, other) <= overlap for other in kept):
            kept.append(row)
    return kept


def soft_nms_by_hand(rows, sigma, keep):
    left, kept = [list(map(float, row)) for row in rows], []
    while left and len(kept) < keep:
        best = max(left, key=lambda row: row[2])
        left.remove(best)
        kept.append(best)
        for row in left:
            row[2] -= abs(row[2]) * (1 - math.exp(-(iou_by_hand(row, best) ** 2) / sigma))
    return kept


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("overlap", "keep"), [(0.0, 10), (0.3, 3), (0.7, 10), (1.0, 4)])
def test_nms_equals_its_plain_twin(seed, overlap, keep):
    given = drawn(np.random.default_rng(seed), count=20)
    ranked = Nms(overlap=overlap, keep=keep).build({})(given, QUERY)
    np.testing.assert_array_equal(ranked.moments, nms_by_hand(given.moments, overlap, keep))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("sigma", "keep"), [(0.1, 30), (0.5, 5), (3.0, 12)])
def test_soft_nms_equals_its_plain_twin(seed, sigma, keep):
    given = drawn(np.random.default_rng(seed), count=15)
    ranked = SoftNms(sigma=sigma, keep=keep).build({})(given, QUERY)
    np.testing.assert_allclose(ranked.moments, soft_nms_by_hand(given.moments, sigma, keep), atol=1e-6)


def test_a_moment_with_exactly_the_largest_overlap_stays():
    given = listed((0, 10, 0.9), (0, 7, 0.5), (0, 7.5, 0.4))
    ranked = Nms(overlap=0.7).build({})(given, QUERY)
    assert ranked.moments[:, 1].tolist() == [10, 7]


def test_evidence_goes_with_its_moment():
    given = listed((0, 10, 0.9), (0, 10, 0.5), (20, 30, 0.4), iou=[0.1, 0.2, 0.3])
    for part in (Nms(), SoftNms(keep=2)):
        ranked = part.build({})(given, QUERY)
        np.testing.assert_array_equal(ranked.evidence["iou"], np.float32([0.1, 0.3]))


def test_soft_nms_lowers_by_the_gaussian_of_the_overlap():
    given = listed((0, 10, 0.9), (0, 10, 0.8), (20, 30, 0.1))
    ranked = SoftNms(sigma=0.5).build({})(given, QUERY).moments
    np.testing.assert_allclose(ranked[:, 2], [0.9, 0.8 * math.exp(-2), 0.1], rtol=1e-6)


def test_negative_scores_fall_too():
    given = listed((0, 10, -0.1), (0, 10, -0.2))
    ranked = SoftNms(sigma=0.5).build({})(given, QUERY).moments
    np.testing.assert_allclose(ranked[:, 2], [-0.1, -0.2 - 0.2 * (1 - math.exp(-2))], rtol=1e-6)


def test_empty_lists_stay_empty():
    for part in (Nms(), SoftNms()):
        assert part.build({})(listed(), QUERY).moments.shape == (0, 3)
