"""How often intervals of `amrbench compare` hold the truth, and how often p is small without a difference.

Two systems with two seeds each answer simulated queries. Recordings differ in how hard they are and in how
much the better system gains on them, so queries of one recording resemble each other. Prints the table of
docs/comparing.md; takes about half a minute: python benchmarks/coverage_of_intervals.py
"""

import numpy as np

from amrbench.results.resampling import differences

SETS = 1000
SEEDS = 2


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


def main():
    """Print the table."""
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
