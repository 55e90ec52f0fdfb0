"""Candidates for the tests of ranking steps."""

import numpy as np

from amrbench.types import Candidates, Query

QUERY = Query("1", "a dog", "v", 84.4, ())


def listed(*moments, **evidence):
    """Return candidates of (start, end, score); `_` in names of evidence stands for '.'."""
    rows = np.array(moments, np.float32).reshape(-1, 3)
    columns = {name.replace("_", "."): np.array(column, np.float32) for name, column in evidence.items()}
    return Candidates(rows, columns)


def asked(*windows, qid="1"):
    """Return a query with ground truth."""
    return Query(qid, "a dog", "v", 100.0, windows)


def drawn(rng, count=8, sources=1):
    """Return candidates with random windows, scores and evidence, best first."""
    bounds = np.sort(rng.uniform(0, 30, (count, 2)), 1)
    moments = np.column_stack([bounds, np.sort(rng.uniform(-1, 1, count))[::-1]]).astype(np.float32)
    evidence = {name: rng.random(count, np.float32) for name in ("class", "iou")}
    if sources > 1:
        evidence["source"] = rng.integers(0, sources, count).astype(np.float32)
    return Candidates(moments, evidence)


def iou_by_hand(one, other):
    """Return the overlap of two windows."""
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    union = (one[1] - one[0]) + (other[1] - other[0]) - shared
    return shared / union if union > 0 else 0.0
