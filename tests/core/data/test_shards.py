from dataclasses import replace

import pytest

from amrbench.data.shards import built, fills_a_row, forget_built, shard_ranges
from tests.small_world.data import Loudness, Noise


def test_ranges_cover_all_numbers_once():
    assert list(shard_ranges(20, 8)) == [range(8), range(8, 16), range(16, 20)]
    assert list(shard_ranges(0, 8)) == []


def test_a_data_set_is_built_once_in_a_process():
    assert built(Noise(seed=4)) is built(Noise(seed=4))
    assert built(Noise(seed=4)) is not built(Noise(seed=5))


def test_a_data_set_that_is_forgotten_is_built_anew():
    first, other = built(Noise(seed=6)), built(Noise(seed=7))
    forget_built(Noise(seed=6))
    assert built(Noise(seed=6)) is not first
    assert built(Noise(seed=7)) is other
    forget_built(Noise(seed=8))


@pytest.mark.parametrize(("samples", "hop", "fills"), [(100, 1.0, True), (99, 1.0, False), (10, 0.1, True)])
def test_a_row_needs_the_samples_of_a_hop(samples, hop, fills):
    assert fills_a_row(samples, replace(Loudness().build(), hop=hop)) is fills
