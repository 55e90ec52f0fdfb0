"""The queries that only one of two systems answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amrbench.functional.bootstrap import Difference
from amrbench.types import Floats, Query


@dataclass(frozen=True)
class DisagreedQuery:
    """A query that most models of one system answer, and most of the other do not.

    Attributes:
        qid: Its id.
        vid: Its recording.
        query: The sentence.
        first: Share of the first system's models that answer it, from 0 to 1.
        second: Share of the second system's models.
    """

    qid: str
    vid: str
    query: str
    first: float
    second: float


@dataclass(frozen=True)
class Disagreement:
    """How two systems answer the same queries. A query is answered where its metric is 100.

    With several seeds, numbers of queries are means over all pairs of a seed of each system.

    Attributes:
        first: Name of the first system.
        second: Name of the second system.
        metric: Recall at k, e.g. "R1@0.7".
        both: Number of queries that both answer.
        only_first: Number of queries that the first alone answers.
        only_second: Number of queries that the second alone answers.
        neither: Number of queries that none answers.
        difference: First minus second in points, with the interval and the p-value of `amrbench compare`.
        queries: Those of which one system answers over half more often; the first system's first.
    """

    first: str
    second: str
    metric: str
    both: float
    only_first: float
    only_second: float
    neither: float
    difference: Difference
    queries: tuple[DisagreedQuery, ...]


def disagreement(
    names: tuple[str, str],
    metric: str,
    queries: Sequence[Query],
    answered: tuple[Floats, Floats],
    difference: Difference,
) -> Disagreement:
    """Count the queries that only one of two systems answers.

    Args:
        names: Of the two systems.
        metric: Recall at k.
        queries: The Q queries.
        answered: (Q,) share of the models that answer each query, from 0 to 1, for both systems.
        difference: Of the two, in points.
    """
    first, second = answered
    apart = first - second
    order = np.argsort(-apart, kind="stable")
    chosen = order[np.abs(apart[order]) > 0.5].tolist()
    return Disagreement(
        *names,
        metric,
        both=float(first @ second),
        only_first=float(first @ (1 - second)),
        only_second=float((1 - first) @ second),
        neither=float((1 - first) @ (1 - second)),
        difference=difference,
        queries=tuple(
            DisagreedQuery(
                str(queries[row].qid),
                queries[row].vid,
                queries[row].query,
                float(first[row]),
                float(second[row]),
            )
            for row in chosen
        ),
    )
