"""Annotations and predictions of the published shapes, drawn with fixed seeds."""

from __future__ import annotations

from functools import cache

import numpy as np

from amrbench.types import Moments, Query


@cache
def drawn_truth(queries: int) -> list[Query]:
    """Recordings of 300 s with one to 24 windows, three on average as in CASTELLA."""
    random = np.random.default_rng(queries)
    asked = []
    for number in range(queries):
        starts = np.sort(random.uniform(0, 280, min(24, random.geometric(1 / 3)))).round()
        ends = starts + random.exponential(10, len(starts)).round() + 1
        windows = tuple(zip(starts.tolist(), ends.tolist(), strict=True))
        asked.append(Query(f"q{number}", "left out", f"v{number}", 300.0, windows))
    return asked


@cache
def drawn_predictions(queries: int) -> list[Moments]:
    """Ten windows with scores for each query, one of them near an annotated one."""
    random = np.random.default_rng(queries + 1)
    moments = []
    for query in drawn_truth(queries):
        starts = random.uniform(0, 280, 10)
        windows = np.stack([starts, starts + random.exponential(15, 10)], axis=1)
        windows[random.integers(10)] = np.sort(query.windows[0] + random.exponential(1, 2))
        scores = np.sort(random.random(10))[::-1]
        moments.append(Moments(query.qid, query.vid, windows.round(4), scores.round(4)))
    return moments
