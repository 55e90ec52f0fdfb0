from dataclasses import replace

import pytest

from amrbench.data.shards import built_dataset, describe_part, fills_a_row, shard_ranges
from tests.core.toy_world import ToyFeatures, ToySet


def test_ranges_cover_all_numbers_once():
    assert list(shard_ranges(20, 8)) == [range(8), range(8, 16), range(16, 20)]
    assert list(shard_ranges(0, 8)) == []


def test_a_part_is_described_by_what_differs_from_its_defaults():
    assert describe_part(ToySet()) == "toy"
    assert describe_part(ToySet(seed=3, count=20)) == "toy seed=3"


def test_a_data_set_is_built_once_in_a_process():
    assert built_dataset(ToySet(seed=4)) is built_dataset(ToySet(seed=4))
    assert built_dataset(ToySet(seed=4)) is not built_dataset(ToySet(seed=5))


@pytest.mark.parametrize(("samples", "hop", "fills"), [(100, 1.0, True), (99, 1.0, False), (10, 0.1, True)])
def test_a_row_needs_the_samples_of_a_hop(samples, hop, fills):
    assert fills_a_row(samples, replace(ToyFeatures().build(), hop=hop)) is fills
