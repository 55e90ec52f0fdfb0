"""How sure a mean over queries is, when queries of one recording go together.

Queries of one recording share its sounds, so they are no independent evidence. Recordings are what is drawn
(the cluster bootstrap: A. C. Cameron, J. B. Gelbach, D. L. Miller, "Bootstrap-based improvements for
inference with clustered errors", Review of Economics and Statistics 90, 2008) and what is flipped (the
randomisation test for pairs: R. A. Fisher, "The Design of Experiments", 1935).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 10_000
LEVEL = 0.95
_BLOCK = 512
_TIE = 1e-9


@dataclass(frozen=True)
class Difference:
    """A mean difference and how sure it is.

    Attributes:
        mean: Mean over all queries.
        low: Lower end of the interval.
        high: Upper end of the interval.
        p: Two-sided p-value of "the two sides could be exchanged in any recording".
    """

    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, eq=False)
class Clusters:
    """What resampling needs of C recordings and M metrics.

    Attributes:
        sums: (C, M) sum over the queries of each recording.
        sizes: (C,) queries of each recording.
    """

    sums: Floats
    sizes: Floats

    @property
    def count(self) -> int:
        """Return the number of recordings."""
        return len(self.sizes)


def clustered(values: Floats, recordings: Sequence[str]) -> Clusters:
    """Sum values by recording, in the order of the recordings' names.

    Args:
        values: (Q, M) one row for each query.
        recordings: The recording of each query.
    """
    names, place = np.unique(np.asarray(recordings), return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, place, values)
    return Clusters(sums, np.bincount(place, minlength=len(names)).astype(np.float64))


def differences(
    values: Floats, recordings: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> list[Difference]:
    """Return mean, percentile interval and p-value of each of M columns of paired differences.

    Args:
        values: (Q, M) one side less the other, one row for each query.
        recordings: The recording of each query.
        draws: How often recordings are drawn, and how often signs are flipped.
        seed: Of the draws; they depend on it and on the number of recordings alone.
    """
    found = clustered(values, recordings)
    drawing, flipping = np.random.default_rng(seed).spawn(2)
    tail = (1 - LEVEL) / 2
    ends = np.quantile(bootstrap_means(found, drawing, draws), [tail, 1 - tail], axis=0)
    p = sign_flip_p(found, flipping, draws)
    means = found.sums.sum(axis=0) / found.sizes.sum()
    table = np.column_stack([means, *ends, p]).tolist()
    return [Difference(*row) for row in table]


def bootstrap_means(found: Clusters, rng: np.random.Generator, draws: int) -> Floats:
    """(draws, M) means over the queries of as many recordings as there are, drawn with replacement."""
    means = []
    for rows in _blocks(draws):
        picks = rng.integers(found.count, size=(rows, found.count)) + found.count * np.arange(rows)[:, None]
        times = np.bincount(picks.ravel(), minlength=rows * found.count).reshape(rows, found.count)
        weight = times.astype(np.float64)
        means.append(weight @ found.sums / (weight @ found.sizes)[:, None])
    return np.concatenate(means)


def sign_flip_p(found: Clusters, rng: np.random.Generator, draws: int) -> Floats:
    """(M,) p-values: how often sides exchanged at random in each recording differ as much as they do.

    The answer as it is counts as one of the draws, so that no p-value is zero (B. Phipson, G. K. Smyth,
    "Permutation p-values should never be zero", 2010).
    """
    reached = np.abs(found.sums.sum(axis=0)) - _TIE * (1 + np.abs(found.sums).sum(axis=0))
    as_much = np.zeros(found.sums.shape[1])
    for rows in _blocks(draws):
        signs = 2.0 * rng.integers(2, size=(rows, found.count)) - 1
        as_much += (np.abs(signs @ found.sums) >= reached).sum(axis=0)
    return np.asarray((as_much + 1) / (draws + 1))


def _blocks(draws: int) -> list[int]:
    """Return sizes of blocks that fit into memory with thousands of recordings."""
    return [min(_BLOCK, draws - start) for start in range(0, draws, _BLOCK)]
