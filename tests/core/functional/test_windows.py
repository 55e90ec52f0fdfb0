import numpy as np

from amrbench.functional.windows import iou
from tests.plugins.ranking.lists import iou_by_hand


def test_every_pair_has_its_overlap():
    rng = np.random.default_rng(0)
    one, other = (np.sort(rng.uniform(0, 10, (count, 2)), 1) for count in (5, 7))
    expected = [[iou_by_hand(a, b) for b in other] for a in one]
    np.testing.assert_allclose(iou(one, other), expected, atol=1e-12)


def test_other_columns_are_ignored_and_lists_may_be_empty():
    one = np.array([[0, 4, 9.0]], np.float32)
    assert iou(one, np.array([[2, 6]])).tolist() == [[2 / 6]]
    assert iou(one[:0], one).shape == (0, 1)


def test_equal_points_do_not_overlap():
    assert iou(np.array([[3, 3]]), np.array([[3, 3], [2, 4]])).tolist() == [[0, 0]]


def test_windows_of_no_length_have_no_overlap():
    empty = np.array([[3, 3, 0.5], [3, 3, 0.0], [0, 4, 0.0]], dtype=float)
    np.testing.assert_allclose(iou(empty, empty[:1])[:, 0], [0, 0, 0])


def test_overlaps_are_those_of_intersection_over_union():
    moments = np.array([[0.0, 10.0, 1], [20.0, 30.0, 1], [5.0, 15.0, 1]])
    np.testing.assert_allclose(iou(moments, np.array([[0.0, 10.0, 0]]))[:, 0], [1, 0, 1 / 3])
