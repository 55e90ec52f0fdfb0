"""The official metrics in plain Python, one query after another: slow, and easy to check by eye."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.types import Moments, Query

Window = Sequence[float]
TEN = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]


def metrics(
    predictions: Sequence[Moments],
    truth: Sequence[Query],
    ks: Sequence[int] = (1, 5),
    ious: Sequence[float] = (0.5, 0.7),
) -> dict[str, float]:
    """All metrics in percent, over the queries that have a window of usable length."""
    given = {str(moments.qid): moments for moments in predictions}
    asked = [query for query in truth if usable(query)]
    percent = {}
    for k in ks:
        for iou in ious:
            percent[f"R{k}@{iou:g}"] = mean([hit(given[str(query.qid)], query, k, iou) for query in asked])
    for iou in TEN:
        percent[f"mAP@{iou:g}"] = mean([precision(given[str(query.qid)], query, iou) for query in asked])
    percent["mAP"] = sum(percent[f"mAP@{iou:g}"] for iou in TEN) / len(TEN)
    return percent


def hit(moments: Moments, query: Query, k: int, iou: float) -> bool:
    """Whether one of the first k listed windows reaches the IoU with its best annotated window."""
    for window in moments.windows[:k].tolist():
        best = usable(query)[0]
        for target in usable(query):
            if over_union(window, target) > over_union(window, best):
                best = target
        if over_hull(window, best) >= iou:
            return True
    return False


def precision(moments: Moments, query: Query, iou: float) -> float:
    """Average precision of one query: greedy matching in the order of the scores."""
    free = list(enumerate(usable(query)))
    positives = len(free)
    right: list[bool] = []
    for window in by_score(moments):
        # The largest overlap first, the later window at a tie.
        choices = sorted(free, key=lambda target: (over_union(window, target[1]), target[0]), reverse=True)
        right.append(bool(choices) and over_union(window, choices[0][1]) >= iou)
        if right[-1]:
            free.remove(choices[0])
    return area(right, positives)


def area(right: Sequence[bool], positives: int) -> float:
    """Area under the interpolated precision: each recall step counts the best precision from there on."""
    precisions = [sum(right[: rank + 1]) / (rank + 1) for rank in range(len(right))]
    return sum(max(precisions[rank:]) / positives for rank in range(len(right)) if right[rank])


def by_score(moments: Moments) -> list[Window]:
    """The first ten listed windows, highest score first; ties and missing scores keep the listed order."""
    listed = moments.windows.tolist()[:10]
    if moments.scores is None:
        return listed
    order = sorted(range(len(listed)), key=lambda index: -moments.scores[index])
    return [listed[index] for index in order]


def usable(query: Query) -> list[Window]:
    return [window for window in query.windows if 0 < window[1] - window[0] <= 1500]


def over_union(one: Window, other: Window) -> float:
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / ((one[1] - one[0]) + (other[1] - other[0]) - shared)


def over_hull(one: Window, other: Window) -> float:
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / (max(one[1], other[1]) - min(one[0], other[0]))


def mean(values: Sequence[float]) -> float:
    return 100 * sum(values) / len(values)
