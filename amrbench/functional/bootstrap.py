"""Confidence intervals and p-values of mean differences over queries, clustered by recording.

Queries about one recording share its sounds, so they are not independent. Therefore whole recordings are
resampled (the cluster bootstrap: A. C. Cameron, J. B. Gelbach, D. L. Miller, "Bootstrap-based improvements
for inference with clustered errors", Review of Economics and Statistics 90, 2008), and signs of differences
are flipped for whole recordings (the randomisation test for pairs: R. A. Fisher, "The Design of Experiments",
1935).

A chain is the sequence of stages that trains one model. If no stage is shared between seeds, chains are
resampled too, and the randomisation test exchanges whole chains between the two sides. Where both sides share
stages seed by seed, e.g. two read-outs of the same models, the two chains of a seed are one pair: they are
drawn together, and the test exchanges the sides of a pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import comb

import numpy as np

from amrbench.types import Floats

DRAWS = 10_000
LEVEL = 0.95
_BLOCK = 512  # draws at a time; their weights fit into memory with thousands of recordings
_TIE = 1e-9  # relative; sums in another order differ in the last bits


@dataclass(frozen=True)
class Difference:
    """A mean difference with its confidence interval, at `LEVEL`, and p-value.

    Attributes:
        mean: Mean over all queries.
        low: Lower end of the confidence interval.
        high: Upper end of the confidence interval.
        p: Two-sided p-value of the hypothesis that the two sides can be exchanged.
    """

    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, eq=False)
class Clusters:
    """Values of queries summed over C recordings, for M metrics.

    Attributes:
        sums: (C, M) sum over the queries of each recording.
        sizes: (C,) number of queries of each recording.
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
    names, cluster = np.unique(np.asarray(recordings), return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, cluster, values)
    return Clusters(sums, np.bincount(cluster, minlength=len(names)).astype(np.float64))


def differences(
    values: Floats, recordings: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> list[Difference]:
    """Return mean, percentile interval and p-value of each of M columns of paired differences.

    Args:
        values: (Q, M) first side minus second side, one row for each query.
        recordings: The recording of each query.
        draws: Number of bootstrap samples, and of random sign flips.
        seed: Seed of the draws, which depend on it and the number of recordings only.
    """
    clusters = clustered(values, recordings)
    drawing, flipping = np.random.default_rng(seed).spawn(2)
    means = clusters.sums.sum(axis=0) / clusters.sizes.sum()
    samples = bootstrap_means(clusters, drawing, draws)
    return _with_intervals(means, samples, sign_flip_p(clusters, flipping, draws))


def chain_differences(
    one: Floats, two: Floats, recordings: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> list[Difference]:
    """Return the same as `differences` for two sides of chains, none of which share a stage.

    Args:
        one: (S, Q, M) values of the first side for each chain, query and metric; S is at least 2.
        two: (R, Q, M) values of the second side; R is at least 2.
        recordings: The recording of each query.
        draws: Number of bootstrap samples, and the most exchanges of chains.
        seed: Seed of the draws.
    """
    drawing, exchanging = np.random.default_rng(seed).spawn(2)
    means = one.mean(axis=(0, 1)) - two.mean(axis=(0, 1))
    first, second = bootstrap_chains((one, two), recordings, drawing, draws)
    p = exchanged_chains_p(one.mean(axis=1), two.mean(axis=1), exchanging, draws)
    return _with_intervals(means, first - second, p)


def paired_chain_differences(
    values: Floats, recordings: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> list[Difference]:
    """Return the same as `differences` for pairs of chains that share stages with each other alone.

    Args:
        values: (S, Q, M) first side minus second side for each pair, query and metric; S is at least 2.
        recordings: The recording of each query.
        draws: Number of bootstrap samples, and the most exchanges of sides.
        seed: Seed of the draws.
    """
    drawing, exchanging = np.random.default_rng(seed).spawn(2)
    (samples,) = bootstrap_chains((values,), recordings, drawing, draws)
    p = exchanged_pairs_p(values.mean(axis=1), exchanging, draws)
    return _with_intervals(values.mean(axis=(0, 1)), samples, p)


def _with_intervals(means: Floats, samples: Floats, p: Floats) -> list[Difference]:
    """Return one difference for each of M means (M,), from their bootstrap samples (draws, M)."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    return [Difference(*row) for row in np.column_stack([means, low, high, p]).tolist()]


def bootstrap_chains(
    sides: Sequence[Floats], recordings: Sequence[str], rng: np.random.Generator, draws: int
) -> Floats:
    """Return (sides, draws, M) means of drawn chains of each side, all on the same drawn recordings.

    The variance of a mean of S drawn chains is too small by the factor (S - 1) / S; the distances of chains
    from their mean are scaled up to compensate for it.

    Args:
        sides: (S, Q, M) each; S is at least 2 and may differ.
        recordings: The recording of each query.
        rng: Draws recordings and chains.
        draws: Number of draws.
    """
    sizes = clustered(sides[0][0], recordings).sizes
    sums = [np.stack([clustered(chain, recordings).sums for chain in side]) for side in sides]
    samples = []
    for rows in _blocks(draws):
        weight = _times_drawn(rng, rows, len(sizes))
        total = (weight @ sizes)[:, None]
        means = []
        for side in sums:
            count = len(side)
            chain_means = np.einsum("rc,scm->rsm", weight, side) / total[:, None]
            scale = np.sqrt(count / (count - 1))
            chain_weight = 1 / count + scale * (_times_drawn(rng, rows, count) - 1) / count
            means.append(np.einsum("rs,rsm->rm", chain_weight, chain_means))
        samples.append(np.stack(means))
    return np.concatenate(samples, axis=1)


def exchanged_chains_p(one: Floats, two: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """Return (M,) p-values: how often randomly assigned chains differ at least as much as the actual sides.

    If there are at most `draws` ways to assign the chains to the sides, each is used once. Otherwise the
    actual assignment and `draws` random ones are used.

    Args:
        one: (S, M) mean of each chain of the first side.
        two: (R, M) mean of each chain of the second side.
        rng: Draws the random assignments.
        draws: The most assignments.
    """
    chains, count = np.concatenate([one, two]), len(one)
    if comb(len(chains), count) <= draws:
        assigned = [list(indices) for indices in combinations(range(len(chains)), count)]
    else:
        drawn = [rng.permutation(len(chains))[:count].tolist() for _ in range(draws)]
        assigned = [list(range(count)), *drawn]
    first = np.zeros((len(assigned), len(chains)))  # 1 for chains assigned to the first side
    np.put_along_axis(first, np.array(assigned), 1.0, axis=1)
    difference = first @ chains / count - (1 - first) @ chains / len(two)
    actual = np.abs(one.mean(axis=0) - two.mean(axis=0)) - _TIE * (1 + np.abs(chains).sum(axis=0))
    return np.asarray((np.abs(difference) >= actual).mean(axis=0))


def exchanged_pairs_p(means: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """Return (M,) p-values: how often pairs with randomly exchanged sides differ as much as the actual ones.

    If there are at most `draws` ways to exchange the sides, each is used once. Otherwise the actual sides and
    `draws` random ones are used.

    Args:
        means: (S, M) mean difference of each pair.
        rng: Draws the random exchanges.
        draws: The most exchanges.
    """
    count = len(means)
    if 2**count <= draws:
        signs = np.array(list(product((1.0, -1.0), repeat=count)))
    else:
        signs = np.concatenate([np.ones((1, count)), 2.0 * rng.integers(2, size=(draws, count)) - 1])
    actual = np.abs(means.sum(axis=0)) - _TIE * (1 + np.abs(means).sum(axis=0))
    return np.asarray((np.abs(signs @ means) >= actual).mean(axis=0))


def bootstrap_means(clusters: Clusters, rng: np.random.Generator, draws: int) -> Floats:
    """Return (draws, M) means over the queries of C recordings drawn with replacement."""
    means = []
    for rows in _blocks(draws):
        weight = _times_drawn(rng, rows, clusters.count)
        means.append(weight @ clusters.sums / (weight @ clusters.sizes)[:, None])
    return np.concatenate(means)


def sign_flip_p(clusters: Clusters, rng: np.random.Generator, draws: int) -> Floats:
    """Return (M,) p-values: how often randomly flipped recordings differ at least as much as the actual ones.

    The actual signs count as one of the draws, so that no p-value is zero (B. Phipson, G. K. Smyth,
    "Permutation p-values should never be zero", 2010).
    """
    actual = np.abs(clusters.sums.sum(axis=0)) - _TIE * (1 + np.abs(clusters.sums).sum(axis=0))
    reached = np.zeros(clusters.sums.shape[1])
    for rows in _blocks(draws):
        signs = 2.0 * rng.integers(2, size=(rows, clusters.count)) - 1
        reached += (np.abs(signs @ clusters.sums) >= actual).sum(axis=0)
    return np.asarray((reached + 1) / (draws + 1))


def _times_drawn(rng: np.random.Generator, rows: int, count: int) -> Floats:
    """Return (rows, count), how often each of `count` items is drawn in `count` draws with replacement."""
    picks = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
    times = np.bincount(picks.ravel(), minlength=rows * count).reshape(rows, count)
    return times.astype(np.float64)


def _blocks(draws: int) -> list[int]:
    return [min(_BLOCK, draws - start) for start in range(0, draws, _BLOCK)]
