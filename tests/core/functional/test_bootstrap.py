import numpy as np
import pytest

from amrbench.functional.bootstrap import (
    Clusters,
    Difference,
    bootstrap_chains,
    bootstrap_means,
    chain_differences,
    clustered,
    differences,
    exchanged_chains_p,
    exchanged_pairs_p,
    paired_chain_differences,
    sign_flip_p,
)


def some_values(recordings=30, most=6, seed=0, metrics=2):
    """Return (values, recordings) with recordings of different size whose queries resemble each other."""
    rng = np.random.default_rng(seed)
    names, rows = [], []
    for number in range(recordings):
        shared = rng.normal(0.2, 1, metrics)
        for _ in range(rng.integers(1, most + 1)):
            names.append(f"v{number}")
            rows.append(shared + rng.normal(0, 0.5, metrics))
    return np.array(rows), names


def groups_of(values, names):
    return [
        [row for row, owner in zip(values, names, strict=True) if owner == name]
        for name in sorted(set(names))
    ]


# ---------------------------------------------------------------- against slow twins


def test_bootstrap_means_are_those_of_drawn_recordings_laid_out():
    values, names = some_values()
    fast = bootstrap_means(clustered(values, names), np.random.default_rng(3), 700)
    groups, rng = groups_of(values, names), np.random.default_rng(3)
    slow = []
    for _ in range(700):
        picked = [groups[index] for index in rng.integers(len(groups), size=len(groups))]
        slow.append(np.mean([row for group in picked for row in group], axis=0))
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-12)


def test_p_values_are_those_of_every_query_flipped_with_its_recording():
    values, names = some_values(recordings=12)
    fast = sign_flip_p(clustered(values, names), np.random.default_rng(5), 600)
    order, rng = sorted(set(names)), np.random.default_rng(5)
    reached = np.zeros(2)
    for _ in range(600):
        sign = dict(zip(order, 2 * rng.integers(2, size=len(order)) - 1, strict=True))
        flipped = np.array([sign[name] * row for name, row in zip(names, values, strict=True)])
        reached += np.abs(flipped.mean(axis=0)) >= np.abs(values.mean(axis=0)) - 1e-12
    np.testing.assert_allclose(fast, (reached + 1) / 601, rtol=0, atol=1e-15)


def test_p_values_approach_those_of_all_flips():
    values, names = some_values(recordings=8, metrics=1)
    sums = clustered(values, names).sums[:, 0]
    signs = 2 * ((np.arange(2**8)[:, None] >> np.arange(8)) & 1) - 1
    exact = np.mean(np.abs(signs @ sums) >= abs(sums.sum()) - 1e-12)
    assert differences(values, names, draws=20_000)[0].p == pytest.approx(exact, abs=0.02)


def some_chains(chains=4, apart=0.0, seed=0):
    """Return values (chains, Q, 2) of models that differ from each other, and recordings."""
    values, names = some_values()
    rng = np.random.default_rng([seed, chains])
    ability = apart + rng.normal(0, 1, (chains, 1, 2))
    return values + ability + rng.normal(0, 0.3, (chains, *values.shape)), names


def test_bootstrap_of_chains_is_that_of_drawn_chains_on_drawn_recordings():
    one, names = some_chains(4)
    two, _ = some_chains(3, seed=1)
    fast = bootstrap_chains((one, two), names, np.random.default_rng(3), 300)
    order = sorted(set(names))
    rows_of = {name: [row for row, owner in enumerate(names) if owner == name] for name in order}
    rng = np.random.default_rng(3)

    def drawn(rows, count):
        return rng.integers(count, size=(rows, count))

    picks, first, second = drawn(300, len(order)), drawn(300, 4), drawn(300, 3)
    slow = []
    for row in range(300):
        queries = [query for pick in picks[row] for query in rows_of[order[pick]]]
        sides = []
        for side, chosen in ((one, first[row]), (two, second[row])):
            means = side[:, queries].mean(axis=1)
            middle = means.mean(axis=0)
            scale = np.sqrt(len(side) / (len(side) - 1))
            sides.append(middle + scale * (means[chosen].mean(axis=0) - middle))
        slow.append(sides)
    np.testing.assert_allclose(fast, np.swapaxes(slow, 0, 1), rtol=0, atol=1e-12)


def test_exchanged_chains_are_all_ways_to_deal_them():
    one, two = np.array([[1.0], [2.0], [4.0]]), np.array([[0.0], [3.0]])
    every = [1.0, 2.0, 4.0, 0.0, 3.0]
    differ = []
    for first in range(5):
        for second in range(first):
            exchanged = {first, second}
            mine = [value for index, value in enumerate(every) if index not in exchanged]
            theirs = [value for index, value in enumerate(every) if index in exchanged]
            differ.append(abs(np.mean(mine) - np.mean(theirs)))
    observed = abs(7 / 3 - 1.5)
    exact = np.mean([difference >= observed - 1e-12 for difference in differ])
    assert exchanged_chains_p(one, two, np.random.default_rng(0), 1000) == pytest.approx([exact])
    few = exchanged_chains_p(one, two, np.random.default_rng(0), 9)
    assert 0.1 <= few[0] <= 1


def test_chains_that_differ_make_the_interval_wider_than_recordings_do():
    one, names = some_chains(4, apart=0.5)
    two, _ = some_chains(4, seed=1)
    chains = chain_differences(one, two, names, draws=2000)[0]
    plain = differences(one.mean(0) - two.mean(0), names, draws=2000)[0]
    assert chains.mean == pytest.approx(plain.mean)
    assert chains.high - chains.low > 2 * (plain.high - plain.low)
    assert chains.low < chains.mean < chains.high


def test_exchanged_pairs_are_all_ways_to_exchange_their_sides():
    means = np.array([[1.0], [2.0], [-0.5]])
    sums = [abs(a + 2 * b - 0.5 * c) for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    exact = np.mean([own >= 2.5 - 1e-12 for own in sums])
    assert exchanged_pairs_p(means, np.random.default_rng(0), 8) == pytest.approx([exact])
    many = np.random.default_rng(1).normal(0.3, 1, (12, 1))
    every = exchanged_pairs_p(many, np.random.default_rng(0), 5000)
    assert exchanged_pairs_p(many, np.random.default_rng(0), 4000) == pytest.approx(every, abs=0.04)


def test_ties_count_in_decimal_fractions_as_in_whole_numbers():
    whole = np.random.default_rng(0).integers(-4, 5, (9, 20)).astype(float)

    def p_values(x):
        rng = np.random.default_rng(0)
        chains, pairs = exchanged_chains_p(x[:4], x[4:], rng, 1000), exchanged_pairs_p(x, rng, 1000)
        return {"chains": chains, "pairs": pairs, "flips": sign_flip_p(Clusters(x, np.ones(9)), rng, 1000)}

    exact = p_values(whole)
    for name, p in p_values(whole / 10).items():
        np.testing.assert_array_equal(p, exact[name], name)


def test_the_actual_sides_count_among_random_exchanges():
    one = np.arange(20.0)[:, None]
    assert exchanged_chains_p(one + 100, one, np.random.default_rng(0), 50) == [1 / 51]
    assert exchanged_pairs_p(one + 100, np.random.default_rng(0), 50) == [1 / 51]


def test_pairs_leave_out_what_their_chains_have_in_common():
    one, names = some_chains(5)
    rng = np.random.default_rng(9)
    two = one + 0.4 + rng.normal(0, 0.2, one.shape)
    paired = paired_chain_differences(two - one, names, draws=2000)[0]
    apart = chain_differences(two, one, names, draws=2000)[0]
    assert paired.mean == pytest.approx(apart.mean)
    assert paired.low < 0.4 < paired.high
    assert paired.high - paired.low < (apart.high - apart.low) / 10
    assert paired.p == 2 / 2**5


def test_intervals_of_pairs_cover_the_truth():
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        _, names = some_values(recordings=40, seed=seed, metrics=1)
        shared = rng.normal(0, 1, (6, 1, 1))  # Of both chains of a seed; it does not count.
        side = shared + rng.normal(0, 0.5, (6, len(names), 1))
        other = shared + rng.normal(0, 0.3, (6, 1, 1)) + rng.normal(0, 0.5, (6, len(names), 1))
        own = paired_chain_differences(side - other, names, draws=500, seed=seed)[0]
        covered += own.low <= 0 <= own.high
    # Six chains cover about 93 % of the time; four standard deviations are 15.
    assert covered >= 170


def test_the_same_chains_differ_by_nothing():
    one, names = some_chains(3)
    difference = chain_differences(one, one, names, draws=500)[0]
    assert difference.mean == pytest.approx(0)
    assert difference.p == 1


# ---------------------------------------------------------------- cases with known answers


def test_no_difference_has_an_interval_of_zero_and_is_no_surprise():
    _, names = some_values()
    assert differences(np.zeros((len(names), 1)), names) == [Difference(0.0, 0.0, 0.0, 1.0)]


def test_one_recording_tells_nothing_about_others():
    values, _ = some_values(metrics=1)
    difference = differences(values, ["v"] * len(values))[0]
    assert difference.low == difference.high
    assert difference.low == pytest.approx(difference.mean, abs=1e-12)
    assert difference.p == 1.0


def test_every_query_twice_changes_nothing():
    values, names = some_values()
    once = differences(values, names)
    twice = differences(np.repeat(values, 2, axis=0), np.repeat(names, 2).tolist())
    for one, two in zip(once, twice, strict=True):
        assert vars(two) == pytest.approx(vars(one), abs=1e-12)


def test_the_order_of_queries_changes_nothing():
    values, names = some_values()
    order = np.random.default_rng(1).permutation(len(names))
    shuffled = differences(values[order], [names[index] for index in order])
    for one, two in zip(differences(values, names), shuffled, strict=True):
        assert vars(two) == pytest.approx(vars(one), abs=1e-12)


def test_exchanged_sides_mirror_the_difference():
    values, names = some_values()
    for one, two in zip(differences(values, names), differences(-values, names), strict=True):
        assert (two.mean, two.low, two.high) == pytest.approx((-one.mean, -one.high, -one.low))
        assert two.p == one.p


def test_the_same_difference_everywhere_has_no_width_and_the_least_p_value():
    _, names = some_values(recordings=60)
    difference = differences(np.full((len(names), 1), 2.5), names, draws=999)[0]
    assert (difference.mean, difference.low, difference.high) == pytest.approx((2.5, 2.5, 2.5))
    assert difference.p == 1 / 1000


def test_the_interval_has_the_width_of_a_normal_approximation():
    values, names = some_values(recordings=300, metrics=1)
    difference = differences(values, names)[0]
    parts = clustered(values, names)
    residual = parts.sums[:, 0] - difference.mean * parts.sizes
    error = np.sqrt((residual**2).sum()) / parts.sizes.sum()
    assert (difference.high - difference.low) / 2 == pytest.approx(1.96 * error, rel=0.05)


def test_queries_that_resemble_each_other_widen_the_interval():
    values, names = some_values(recordings=100, most=8, metrics=1)
    alone = [str(number) for number in range(len(names))]
    together, apart = (differences(values, owners)[0] for owners in (names, alone))
    assert together.mean == pytest.approx(apart.mean)
    assert together.high - together.low > 1.4 * (apart.high - apart.low)


def test_intervals_cover_the_truth_and_p_values_keep_their_level():
    covered, rejected = 0, 0
    for seed in range(300):
        values, names = some_values(recordings=50, seed=1000 + seed, metrics=1)
        difference = differences(values, names, draws=1000, seed=seed)[0]
        covered += difference.low <= 0.2 <= difference.high
        rejected += differences(values - 0.2, names, draws=400, seed=seed)[0].p <= 0.05
    # With 95 % and 5 %, 300 fixed draws lie within four standard deviations (15) of 285 and 15.
    assert 270 <= covered <= 298
    assert 2 <= rejected <= 30
