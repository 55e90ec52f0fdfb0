"""What a sentence that has nothing to do with a recording gets in it, so that an empty answer can be known.

A model gives moments to every sentence. Sentences of the run's annotations are therefore asked about the same
recording, and a sentence whose best moment scores no higher than those of most of them gets a remark.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from amrbench.content_hash import seed_from
from amrbench.files.annotations import read_annotations

COUNT = 64
"""Random sentences that are asked."""
LEAST = 20
"""With fewer, nothing is decided."""
LEVEL = 0.6
"""A best moment stands out if this fraction of the random sentences have a lower one."""


def random_sentences(annotations: Path, queries: Sequence[str]) -> tuple[str, ...]:
    """Return at most `COUNT` sentences of an annotation file, always the same ones, or none if there are few.

    Args:
        annotations: The file.
        queries: Sentences that are left out, however they are capitalised.

    Raises:
        DataError: The file is missing or wrong.
    """
    asked = {query.casefold().strip() for query in queries}
    known = {query.query: None for query in read_annotations(annotations)}
    others = [sentence for sentence in known if sentence.casefold().strip() not in asked]
    if len(others) < LEAST:
        return ()
    order = np.random.default_rng(seed_from("random sentences")).permutation(len(others))
    return tuple(others[index] for index in order[:COUNT])


def fraction_below(score: float, others: Sequence[float]) -> float | None:
    """Return which fraction of others is lower, equal ones counting half; None for fewer than `LEAST`."""
    if len(others) < LEAST:
        return None
    scores = np.asarray(others)
    return float(np.mean((scores < score) + 0.5 * (scores == score)))
