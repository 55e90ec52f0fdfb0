"""How often intervals of `amrbench compare` hold the truth, and how often p is small without a difference.

Two systems answer simulated queries. Recordings differ in how hard they are and in how much the better system
gains on them, so queries of one recording resemble each other. First with two seeds each; then with chains of
training that were trained apart and come out up to several points better or worse. Prints the two tables of
docs/comparing.md; takes about two minutes: python benchmarks/coverage_of_intervals.py
"""

import numpy as np

from amrbench.functional.bootstrap import chain_differences, differences

SETS = 1000
SEEDS = 2
SPREAD = 0.05
"""Standard deviation of how chains come out; about what the protocol synthetic-chains shows."""


def simulated(recordings, seed, gain):
    """Return paired differences in points (Q, 1) and the recording of each query."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 10, recordings)
    place = np.repeat(np.arange(recordings), count)
    chance = 0.3 + rng.normal(0, 0.15, recordings)[place] + rng.normal(0, 0.1, len(place))
    gains = gain + rng.normal(0, 0.08, recordings)[place]
    better, plain = (
        np.mean([rng.random(len(place)) < each for _ in range(SEEDS)], axis=0)
        for each in (np.clip(chance + gains, 0, 1), np.clip(chance, 0, 1))
    )
    return 100 * (better - plain)[:, None], [f"v{each}" for each in place]


def simulated_without(recordings, seed):
    """Return the same for two systems of which neither is better in any recording but by luck."""
    values, names = simulated(recordings, seed, 0.0)
    signs = np.random.default_rng([seed, 1]).choice([-1, 1], recordings)
    return values * signs[[int(name[1:]) for name in names]][:, None], names


def simulated_chains(chains, recordings, seed, gain, spread):
    """Return points (chains, Q, 1) of both systems, and the recording of each query."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 10, recordings)
    place = np.repeat(np.arange(recordings), count)
    chance = 0.3 + rng.normal(0, 0.15, recordings)[place] + rng.normal(0, 0.1, len(place))
    gains = gain + rng.normal(0, 0.08, recordings)[place]
    sides = []
    for mean in (chance + gains, chance):
        luck = rng.normal(0, spread, (chains, 1))
        sides.append(100.0 * (rng.random((chains, len(place))) < np.clip(mean + luck, 0, 1))[..., None])
    return *sides, [f"v{each}" for each in place]


def of_chains():
    """Print how the intervals of chains do, beside those that draw recordings alone."""
    many = [simulated_chains(1, 4000, 10**6 + each, 0.05, 0.0)[:2] for each in range(20)]
    truth = float(np.mean([(one - two).mean() for one, two in many]))
    print(
        "\n| chains of each | intervals that hold the truth | the same, recordings alone | "
        "p at most 0.05 without a difference |\n|---|---|---|---|"
    )
    for chains in (2, 3, 4, 6, 10):
        held = plain = small = 0
        for seed in range(SETS):
            one, two, names = simulated_chains(chains, 160, seed, 0.05, SPREAD)
            found = chain_differences(one, two, names, draws=1000, seed=seed)[0]
            held += found.low <= truth <= found.high
            alone = differences(one.mean(0) - two.mean(0), names, draws=1000, seed=seed)[0]
            plain += alone.low <= truth <= alone.high
            same = simulated_chains(chains, 160, seed, 0.0, SPREAD)
            small += chain_differences(*same, draws=1000, seed=seed)[0].p <= 0.05
        shares = " | ".join(f"{100 * each / SETS:.1f} %" for each in (held, plain, small))
        print(f"| {chains} | {shares} |", flush=True)


def main():
    """Print both tables."""
    large = [simulated(4000, 10**6 + each, 0.05)[0] for each in range(20)]
    truth = float(np.concatenate(large).mean())
    print(
        "| recordings | intervals that hold the truth | p at most 0.05 without a difference |\n|---|---|---|"
    )
    for recordings in (5, 10, 20, 40, 160):
        held = small = 0
        for seed in range(SETS):
            found = differences(*simulated(recordings, seed, 0.05), draws=1000, seed=seed)[0]
            held += found.low <= truth <= found.high
            small += differences(*simulated_without(recordings, seed), draws=1000, seed=seed)[0].p <= 0.05
        print(f"| {recordings} | {100 * held / SETS:.1f} % | {100 * small / SETS:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
    of_chains()
