"""What `amrbench analyze` computes, in plain Python, one query after another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from amrbench.types import Moments, Query
from tests.oracle.metrics_by_hand import Window, over_hull, over_union, usable


def nearest(window: Window, query: Query) -> Window | None:
    """The annotated window of the largest IoU with a predicted one; None if it overlaps none."""
    best = usable(query)[0]
    for target in usable(query):
        if over_union(window, target) > over_union(window, best):
            best = target
    return best if over_union(window, best) > 0 else None


def overlap(window: Window, query: Query) -> float:
    """The overlap with the nearest annotated window."""
    target = nearest(window, query)
    return over_hull(window, target) if target else 0.0


def best_of(moments: Moments, query: Query, k: int) -> tuple[Window, Window] | None:
    """The first k moments' best with its annotated window; None if none overlaps one."""
    best, largest = None, 0.0
    for window in moments.windows[:k].tolist():
        if overlap(window, query) > largest:
            best, largest = window, overlap(window, query)
    target = nearest(best, query) if best else None
    return (best, target) if best and target else None


def best_on_grid(query: Query, step: float) -> float:
    """The largest IoU of any window on a grid with an annotated window, by trying all."""
    last = max(end for _, end in usable(query))
    points = [step * index for index in range(int(last / step) + 2)]
    return max(
        over_hull((start, end), target) for target in usable(query) for start, end in combinations(points, 2)
    )


def alike(one: Window, other: Window, iou: float) -> bool:
    """Whether two moments are equal or have at least this IoU."""
    return list(one) == list(other) or (_overlap(one, other) and over_union(one, other) >= iou)


def duplicates(moments: Moments, k: int, iou: float) -> tuple[int, int, int]:
    """The pairs of duplicates among the first k, the moments, and those that no kept better one repeats."""
    listed = moments.windows[:k].tolist()
    kept: list[Window] = []
    for window in listed:
        if not any(alike(window, better, iou) for better in kept):
            kept.append(window)
    pairs = sum(alike(one, other, iou) for one, other in combinations(listed, 2))
    return pairs, len(listed), len(kept)


def calibration_error(scored: Sequence[tuple[float, bool]]) -> float:
    """The expected calibration error of (score, right), with ten bins."""
    error = 0.0
    for index in range(10):
        low, high = index / 10, (index + 1) / 10
        own = [(score, right) for score, right in scored if low <= score < high or score == high == 1]
        if own:
            distance = sum(score for score, _ in own) / len(own) - sum(right for _, right in own) / len(own)
            error += abs(distance) * len(own) / len(scored)
    return error


def _overlap(one: Window, other: Window) -> bool:
    return min(one[1], other[1]) > max(one[0], other[0])
