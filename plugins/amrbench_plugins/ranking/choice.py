"""The choice of one number on the selection split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from amrbench.errors import RunError
from amrbench.functional.aligned_windows import scorable
from amrbench.functional.metrics import Metric, score
from amrbench.types import Candidates, Moments, Plain, Query

Rescore = Callable[[Candidates, float], Candidates]
RECALL = Metric(1, 0.7)


def scorable_examples(
    examples: Sequence[tuple[Candidates, Query]],
) -> list[tuple[Candidates, Query]]:
    """Return the examples whose queries have ground truth that metrics count; see `scorable`."""
    fits = scorable([query for _, query in examples]) if examples else ()
    return [example for example, fit in zip(examples, fits, strict=True) if fit]


def best_value(
    use: str, values: Sequence[float], rescore: Rescore, examples: Sequence[tuple[Candidates, Query]]
) -> float:
    """Return the value with the highest R1@0.7; the first of several that are equally good.

    Args:
        use: The name of the ranking step, for the message.
        values: To choose from.
        rescore: Returns candidates with the scores that a value gives, best first.
        examples: Candidates and their queries with ground truth.

    Raises:
        RunError: No example has a window to score by.
    """
    known = scorable_examples(examples)
    if not known:
        raise RunError(
            f"ranking {use!r}: none of the {len(examples)} queries it should be fitted on has ground truth. "
            "Select on an annotated split, or give the number as an option."
        )
    # By their own numbers: the same query may be an example more than once.
    queries = [replace(query, qid=index) for index, (_, query) in enumerate(known)]
    lists = [candidates for candidates, _ in known]
    recalls = []
    for value in values:
        first = [_first(rescore(own, value), query) for own, query in zip(lists, queries, strict=True)]
        recalls.append(score(first, queries, metrics=[RECALL]).metrics[RECALL.name])
    return float(values[int(np.argmax(recalls))])


def _first(candidates: Candidates, query: Query) -> Moments:
    """Return the best moment alone."""
    windows = candidates.moments[:1, :2].astype(np.float64)
    return Moments(query.qid, query.vid, windows)


def fitted_number(use: str, fitted: Mapping[str, Plain], name: str) -> float:
    """Return what `best_value` chose.

    Raises:
        RunError: It is missing.
    """
    value = fitted.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RunError(
            f"ranking {use!r}: no fitted {name!r} is known. Give the number as an option, or run the recipe "
            "again so that it is fitted."
        )
    return float(value)
