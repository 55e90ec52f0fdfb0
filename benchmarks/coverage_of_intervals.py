"""How often intervals of `amrbench compare` contain the truth, and how often p is small without a difference.

Simulates the hits of two systems on queries. Recordings differ in how hard they are and in how much the
better system gains on them, so queries of one recording resemble each other. The first table has two seeds of
each system. The second has chains of training that share no stage and differ by several points. The third has
pairs of chains that share stages. The fourth has how many chains of the second are said to settle a
difference. Prints the tables of docs/comparing.md; takes about four minutes:
python benchmarks/coverage_of_intervals.py
"""

import numpy as np

from amrbench.functional.bootstrap import chain_differences, differences, paired_chain_differences
from amrbench.functional.power import half_widths

SETS = 1000
SEEDS = 2
COVERED, SMALL = "intervals that hold the truth", "p at most 0.05 without a difference"
CHAIN_STD = 0.05
"""Standard deviation of the accuracy of a chain; under the protocol synthetic-chains it is 0.01 to 0.03."""


def simulated_queries(rng, recordings, gain):
    """Return the recording of each query, and its probability of a hit by the better and the plain system."""
    counts = rng.integers(1, 10, recordings)
    recording = np.repeat(np.arange(recordings), counts)
    plain = 0.3 + rng.normal(0, 0.15, recordings)[recording] + rng.normal(0, 0.1, len(recording))
    gains = gain + rng.normal(0, 0.08, recordings)[recording]
    return recording, plain + gains, plain


def simulated(recordings, seed, gain):
    """Return paired differences in points (Q, 1) and the recording of each query."""
    rng = np.random.default_rng(seed)
    recording, *probabilities = simulated_queries(rng, recordings, gain)
    better, plain = (
        np.mean([rng.random(len(recording)) < probability for _ in range(SEEDS)], axis=0)
        for probability in np.clip(probabilities, 0, 1)
    )
    return 100 * (better - plain)[:, None], [f"v{number}" for number in recording]


def simulated_without(recordings, seed):
    """Return the same for two systems that only differ by chance, in every recording."""
    values, names = simulated(recordings, seed, 0.0)
    signs = np.random.default_rng([seed, 1]).choice([-1, 1], recordings)
    return values * signs[[int(name[1:]) for name in names]][:, None], names


def simulated_chains(chains, recordings, seed, gain, std):
    """Return points (chains, Q, 1) of both systems, and the recording of each query."""
    rng = np.random.default_rng(seed)
    recording, *probabilities = simulated_queries(rng, recordings, gain)
    sides = []
    for mean in probabilities:
        offsets = rng.normal(0, std, (chains, 1))
        hits = rng.random((chains, len(recording))) < np.clip(mean + offsets, 0, 1)
        sides.append(100.0 * hits[..., None])
    return *sides, [f"v{number}" for number in recording]


def simulated_pairs(pairs, recordings, seed, gain, std):
    """Return differences in points (pairs, Q, 1), and the recording of each query.

    The chains of a pair share half of the variance in which chains differ.
    """
    rng = np.random.default_rng(seed)
    recording, *probabilities = simulated_queries(rng, recordings, gain)
    shared = rng.normal(0, std / np.sqrt(2), (pairs, 1))
    sides = []
    for mean in probabilities:
        offsets = shared + rng.normal(0, std / np.sqrt(2), (pairs, 1))
        sides.append(rng.random((pairs, len(recording))) < np.clip(mean + offsets, 0, 1))
    values = 100.0 * (sides[0].astype(float) - sides[1])
    return values[..., None], [f"v{number}" for number in recording]


def print_shares(counted, titles, counts, outcomes):
    """Print a table with the shares of the simulated sets in which something is true.

    Args:
        counted: What the numbers in the first column are of.
        titles: What is true, one for each further column.
        counts: The numbers in the first column.
        outcomes: Takes such a number and the seed of a set; returns whether each title is true of it.
    """
    print(f"| {' | '.join([counted, *titles])} |\n{'|---' * (1 + len(titles))}|")
    for count in counts:
        shares = np.mean([outcomes(count, seed) for seed in range(SETS)], axis=0)
        print(f"| {count} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |", flush=True)
    print()


def holds(difference, truth):
    """Return whether the interval of a difference contains the truth."""
    return difference.low <= truth <= difference.high


def print_seeds():
    """Print how often intervals are right that resample recordings."""
    large = [simulated(4000, 10**6 + seed, 0.05)[0] for seed in range(20)]
    truth = float(np.concatenate(large).mean())

    def outcomes(recordings, seed):
        (one,) = differences(*simulated(recordings, seed, 0.05), draws=1000, seed=seed)
        (none,) = differences(*simulated_without(recordings, seed), draws=1000, seed=seed)
        return holds(one, truth), none.p <= 0.05

    print_shares("recordings", [COVERED, SMALL], (5, 10, 20, 40, 160), outcomes)


def true_difference_of_chains():
    """Return the difference in points of the simulated chains, from many recordings."""
    large = [simulated_chains(1, 4000, 10**6 + seed, 0.05, 0.0)[:2] for seed in range(20)]
    return float(np.mean([(one - two).mean() for one, two in large]))


def print_chains():
    """Print how often intervals are right that resample recordings and chains, or recordings alone."""
    truth = true_difference_of_chains()

    def outcomes(chains, seed):
        one, two, names = simulated_chains(chains, 160, seed, 0.05, CHAIN_STD)
        (both,) = chain_differences(one, two, names, draws=1000, seed=seed)
        (recordings_alone,) = differences(one.mean(0) - two.mean(0), names, draws=1000, seed=seed)
        same = simulated_chains(chains, 160, seed, 0.0, CHAIN_STD)
        (none,) = chain_differences(*same, draws=1000, seed=seed)
        return holds(both, truth), holds(recordings_alone, truth), none.p <= 0.05

    titles = [COVERED, "the same, recordings alone", SMALL]
    print_shares("chains of each", titles, (2, 3, 4, 6, 10), outcomes)


def print_pairs():
    """Print how often intervals of pairs of chains are right."""
    truth = true_difference_of_chains()

    def outcomes(pairs, seed):
        values, names = simulated_pairs(pairs, 160, seed, 0.05, CHAIN_STD)
        (one,) = paired_chain_differences(values, names, draws=1000, seed=seed)
        same = simulated_pairs(pairs, 160, seed, 0.0, CHAIN_STD)
        (none,) = paired_chain_differences(*same, draws=1000, seed=seed)
        return holds(one, truth), none.p <= 0.05

    print_shares("pairs of chains", [COVERED, SMALL], (2, 3, 4, 6, 10), outcomes)


def chains_said(chains, seed, points=5.0):
    """Return how many chains are said to tell some points apart, from some chains."""
    one, two, names = simulated_chains(chains, 160, seed, 0.05, CHAIN_STD)
    found = chain_differences(one, two, names, draws=1000, seed=seed)
    return 1 + (half_widths(one, two, names, found)[0].to_settle(points, 1, 1).count or 1000)


def print_power():
    """Print how far the number of chains that would settle a difference depends on the chains there are."""
    print("| chains of each | chains for 5 points, median | half of the sets between |\n|---|---|---|")
    for chains in (2, 3, 6, 10, 100):
        sets = SETS // 50 if chains == 100 else SETS
        low, median, high = np.percentile([chains_said(chains, seed) for seed in range(sets)], (25, 50, 75))
        print(f"| {chains} | {median:.0f} | {low:.0f} and {high:.0f} |", flush=True)


if __name__ == "__main__":
    print_seeds()
    print_chains()
    print_pairs()
    print_power()
