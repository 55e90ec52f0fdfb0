"""How sure a mean over queries is, when queries of one recording go together.

Queries of one recording share its sounds, so they are no independent evidence. Recordings are what is drawn
(the cluster bootstrap: A. C. Cameron, J. B. Gelbach, D. L. Miller, "Bootstrap-based improvements for
inference with clustered errors", Review of Economics and Statistics 90, 2008) and what is flipped (the
randomisation test for pairs: R. A. Fisher, "The Design of Experiments", 1935).

Where each seed has stages of its own, chains of training are drawn as well, and it is whole chains that are
exchanged between the sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

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


def chain_differences(
    one: Floats, two: Floats, recordings: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> list[Difference]:
    """Return the same for two sides whose models were trained apart from each other, from the first step on.

    Args:
        one: (S, Q, M) for each chain of training, query and metric; S is 2 at least.
        two: (R, Q, M) of the side that is compared with.
        recordings: The recording of each query.
        draws: How often recordings and chains are drawn, and chains exchanged at most.
        seed: Of the draws.
    """
    drawing, exchanging = np.random.default_rng(seed).spawn(2)
    tail = (1 - LEVEL) / 2
    ends = np.quantile(bootstrap_chains(one, two, recordings, drawing, draws), [tail, 1 - tail], axis=0)
    p = exchanged_chains_p(one.mean(axis=1), two.mean(axis=1), exchanging, draws)
    means = one.mean(axis=(0, 1)) - two.mean(axis=(0, 1))
    return [Difference(*row) for row in np.column_stack([means, *ends, p]).tolist()]


def bootstrap_chains(
    one: Floats, two: Floats, recordings: Sequence[str], rng: np.random.Generator, draws: int
) -> Floats:
    """(draws, M) differences of the means of drawn chains on drawn recordings.

    Drawn chains spread less than chains do, by (S - 1) / S in variance; their distances from the mean are
    stretched to make up for it.
    """
    sides = [np.stack([clustered(chain, recordings).sums for chain in side]) for side in (one, two)]
    sizes = clustered(one[0], recordings).sizes
    found = []
    for rows in _blocks(draws):
        weight = _times_drawn(rng, rows, len(sizes))
        total = (weight @ sizes)[:, None]
        means = []
        for side in sides:
            count = len(side)
            each = np.einsum("rc,scm->rsm", weight, side) / total[:, None]
            stretch = np.sqrt(count / (count - 1))
            share = 1 / count + stretch * (_times_drawn(rng, rows, count) - 1) / count
            means.append(np.einsum("rs,rsm->rm", share, each))
        found.append(means[0] - means[1])
    return np.concatenate(found)


def exchanged_chains_p(one: Floats, two: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """(M,) p-values: how often chains dealt anew to the two sides differ as much as they do.

    All ways to deal them count where there are no more than `draws`, the one that happened among them.

    Args:
        one: (S, M) of each chain.
        two: (R, M) of each chain.
        rng: For the deals, where there are too many.
        draws: The most deals.
    """
    chains, count = np.concatenate([one, two]), len(one)
    places = range(len(chains))
    if comb(len(chains), count) <= draws:
        dealt = [list(each) for each in combinations(places, count)]
    else:
        dealt = [list(range(count)), *(rng.permutation(len(chains))[:count].tolist() for _ in range(draws))]
    mine = np.zeros((len(dealt), len(chains)))
    np.put_along_axis(mine, np.array(dealt), 1.0, axis=1)
    apart = mine @ chains / count - (1 - mine) @ chains / len(two)
    reached = np.abs(one.mean(axis=0) - two.mean(axis=0)) - _TIE * (1 + np.abs(chains).sum(axis=0))
    return np.asarray((np.abs(apart) >= reached).mean(axis=0))


def bootstrap_means(found: Clusters, rng: np.random.Generator, draws: int) -> Floats:
    """(draws, M) means over the queries of as many recordings as there are, drawn with replacement."""
    means = []
    for rows in _blocks(draws):
        weight = _times_drawn(rng, rows, found.count)
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


def _times_drawn(rng: np.random.Generator, rows: int, count: int) -> Floats:
    """(rows, count) how often each of `count` things is drawn when `count` are, with replacement."""
    picks = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
    times = np.bincount(picks.ravel(), minlength=rows * count).reshape(rows, count)
    return times.astype(np.float64)


def _blocks(draws: int) -> list[int]:
    """Return sizes of blocks that fit into memory with thousands of recordings."""
    return [min(_BLOCK, draws - start) for start in range(0, draws, _BLOCK)]
