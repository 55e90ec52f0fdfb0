from math import sqrt

import numpy as np
import pytest

from amrbench.functional.bootstrap import Difference, chain_differences
from amrbench.functional.power import (
    MOST,
    SHARE,
    HalfWidth,
    MoreChains,
    half_widths,
    more_chains,
    recordings_variance,
)

NORMAL = 1.959964


class World:
    """Values of chains with known components; each recording has one to three queries.

    Attributes:
        recording: Standard deviation of the difference of the two sides between recordings.
        chain: That of chains, in all recordings alike.
        both: That of a chain in a recording.
    """

    def __init__(self, *, recording, chain, both, recordings=60, difference=0.0, seed=0):
        rng = np.random.default_rng([seed, recordings])
        self.owner = np.repeat(np.arange(recordings), rng.integers(1, 4, recordings))
        self.names = [f"v{number}" for number in self.owner]
        self.shared = rng.normal(0, 20, recordings)
        self.gain = difference + rng.normal(0, recording, recordings)
        self.chain, self.both = chain, both

    def side(self, chains, rng, gain):
        values = self.shared + gain + rng.normal(0, self.chain, (chains, 1))
        return (values + rng.normal(0, self.both, values.shape))[:, self.owner, None]

    def sides(self, one, two, seed):
        rng = np.random.default_rng([seed, 1])
        return self.side(one, rng, self.gain), self.side(two, rng, 0 * self.gain)

    @property
    def weights(self):
        return np.bincount(self.owner) / len(self.owner)

    @property
    def split(self):
        """Return the true difference on these recordings."""
        return float(self.weights @ self.gain)

    @property
    def of_chain(self):
        """Return the variance of the mean of one chain."""
        return self.chain**2 + self.both**2 * np.square(self.weights).sum()


# ---------------------------------------------------------------- the components


def variance_by_hand(one, two, names):
    """Return what `recordings_variance` does, recording by recording and chain by chain."""
    rows_of = {name: [row for row, own in enumerate(names) if own == name] for name in sorted(set(names))}
    total = 0.0
    for rows in rows_of.values():
        middles = []
        for side in (one, two):
            own = [sum(chain[row] - chain.mean() for row in rows) / len(names) for chain in side[..., 0]]
            middle = sum(own) / len(own)
            middles.append(middle)
            total -= sum((value - middle) ** 2 for value in own) / (len(own) - 1) / len(own)
        total += (middles[0] - middles[1]) ** 2
    return max(0.0, total)


@pytest.mark.parametrize(("one", "two"), [(2, 2), (3, 5), (6, 2)])
def test_the_part_of_the_recordings_is_that_by_hand(one, two):
    world = World(recording=8, chain=5, both=6)
    sides = world.sides(one, two, seed=3)
    expected = variance_by_hand(*sides, world.names)
    assert expected > 0
    assert recordings_variance(*sides, world.names) == pytest.approx([expected], rel=1e-9)


@pytest.mark.parametrize("chains", [2, 6])
def test_the_part_of_the_recordings_is_right_on_average_however_few_chains_there_are(chains):
    found, true = [], 0.0
    for seed in range(300):
        world = World(recording=8, chain=5, both=8, seed=seed)
        found.append(recordings_variance(*world.sides(chains, chains, seed), world.names)[0])
        true += 8**2 * np.square(world.weights).sum()
    assert np.mean(found) == pytest.approx(true / 300, rel=0.1)


def test_without_a_part_of_the_recordings_almost_nothing_is_left():
    world = World(recording=0, chain=5, both=3)
    sides = world.sides(6, 6, seed=0)
    differences = chain_differences(*sides, world.names, draws=1000)
    assert half_widths(*sides, world.names, differences)[0].recordings < 0.8


@pytest.mark.parametrize(("one", "two"), [(4, 4), (3, 6)])
def test_a_half_width_is_that_of_the_interval_towards_zero(one, two):
    world = World(recording=8, chain=5, both=6, difference=15)
    for mirrored in (False, True):
        sides = world.sides(one, two, seed=3)
        sides, counts = (sides[::-1], (two, one)) if mirrored else (sides, (one, two))
        (difference,) = chain_differences(*sides, world.names, draws=1000)
        (width,) = half_widths(*sides, world.names, [difference])
        nearest = difference.high if mirrored else difference.low
        assert width.at(*counts) == pytest.approx(abs(difference.mean - nearest))


def test_half_widths_approach_those_of_the_components():
    world = World(recording=8, chain=5, both=6)
    sides = world.sides(40, 40, seed=3)
    (width,) = half_widths(*sides, world.names, chain_differences(*sides, world.names, draws=2000))
    for part in (width.one, width.two):
        assert part == pytest.approx(NORMAL * sqrt(world.of_chain), rel=0.3)
    true = NORMAL * sqrt(8**2 * np.square(world.weights).sum())
    assert width.recordings == pytest.approx(true, rel=0.3)


def test_more_chains_leave_what_the_recordings_leave():
    width = HalfWidth(recordings=3, one=4, two=6)
    assert width.at(1, 1) == pytest.approx(sqrt(3**2 + 4**2 + 6**2))
    assert width.at(4, 9) == pytest.approx(sqrt(3**2 + 2**2 + 2**2))
    assert width.at(10**9, 10**9) == pytest.approx(3)


# ---------------------------------------------------------------- how many


@pytest.mark.parametrize("distance", [3.5, 4.0, 6.0])
@pytest.mark.parametrize("recordings", [0.0, 1.0, 3.0])
def test_the_number_is_the_first_that_solves_the_quadratic_equation(distance, recordings):
    """With N chains of each side and x = 1 / sqrt(N): (distance - q c x)^2 = recordings^2 + c^2 x^2."""
    width, quantile = HalfWidth(recordings, 9.0, 12.0), 0.841621 / NORMAL
    c = 15.0
    a, b, e = c**2 * (1 - quantile**2), 2 * distance * quantile * c, recordings**2 - distance**2
    x = (-b + sqrt(b**2 - 4 * a * e)) / (2 * a)
    assert width.to_settle(distance, 2, 2) == MoreChains(
        int(np.ceil(1 / x**2)) - 2, recordings, chains_suffice=True
    )


@pytest.mark.parametrize("recording", [0, 12])
def test_so_many_chains_settle_a_difference_as_often_as_stated(recording):
    """On the same recordings, with the true components and a new set of chains for each draw."""
    world = World(recording=recording, chain=5, both=3, difference=5, seed=2)
    chain = NORMAL * sqrt(world.of_chain)
    left = NORMAL * sqrt(recording**2 * np.square(world.weights).sum())
    settling = HalfWidth(left, chain, chain).to_settle(world.split, 2, 2)
    assert settling.chains_suffice
    assert settling.count > 5
    chains, settled = 2 + settling.count, 0
    for seed in range(200):
        (difference,) = chain_differences(
            *world.sides(chains, chains, seed), world.names, draws=400, seed=seed
        )
        settled += difference.low > 0
    # With 80 %, 200 draws lie within three standard deviations (17) of 160.
    assert settled == pytest.approx(200 * SHARE, abs=17)


def test_no_chains_settle_what_the_recordings_leave_open():
    world = World(recording=30, chain=5, both=3, recordings=20, seed=1)
    left = NORMAL * sqrt(30**2 * np.square(world.weights).sum())
    assert abs(world.split) < left
    sides = world.sides(60, 60, seed=0)
    (difference,) = chain_differences(*sides, world.names, draws=1000)
    assert difference.low < 0 < difference.high
    (settling,) = more_chains(*sides, world.names, [difference])
    assert not settling.chains_suffice
    assert settling.count is None
    assert settling.recordings == pytest.approx(left, rel=0.3)


def test_what_is_settled_needs_nothing():
    world = World(recording=2, chain=1, both=1, difference=9)
    sides = world.sides(2, 2, seed=0)
    assert more_chains(*sides, world.names, chain_differences(*sides, world.names, draws=500)) == [None]


def test_metrics_are_counted_one_by_one():
    world = World(recording=2, chain=5, both=1, difference=2)
    one, two = world.sides(2, 2, seed=5)
    one, two = np.concatenate([one, one + 50], axis=2), np.concatenate([two, two], axis=2)
    open_, settled = more_chains(one, two, world.names, chain_differences(one, two, world.names, draws=500))
    assert open_.count >= 1
    assert settled is None


# ---------------------------------------------------------------- without variance


def test_chains_without_any_difference_are_not_settled_by_any_number():
    world = World(recording=0, chain=0, both=0)
    sides = world.sides(2, 2, seed=0)
    differences = chain_differences(*sides, world.names, draws=100)
    (settling,) = more_chains(*sides, world.names, [Difference(0.0, 0.0, 0.0, 1.0)])
    assert abs(differences[0].mean) < 1e-9
    assert settling == MoreChains(None, 0.0, chains_suffice=True)


def test_chains_that_do_not_differ_leave_it_to_the_recordings():
    world = World(recording=8, chain=0, both=0)
    sides = world.sides(2, 2, seed=0)
    differences = chain_differences(*sides, world.names, draws=1000)
    (width,) = half_widths(*sides, world.names, differences)
    assert width.of_chains(1, 1) < 1
    assert width.recordings == pytest.approx(width.at(2, 2), rel=0.1)


@pytest.mark.parametrize(
    ("settling", "text"),
    [
        (MoreChains(1, 0.5, chains_suffice=True), "about 1 more chain"),
        (MoreChains(12, 0.5, chains_suffice=True), "about 12 more chains"),
        (MoreChains(None, 0.5, chains_suffice=True), "over 1,000 more chains"),
        (MoreChains(None, 3.456, chains_suffice=False), "not chains alone: recordings leave ±3.46"),
    ],
)
def test_it_is_said_in_words(settling, text):
    assert MOST == 1000
    assert str(settling) == text
