import torch

from amrbench_plugins.soups.none import NoSoup


def test_no_soup_adds_no_member():
    weights = [{"w": torch.ones(2)}, {"w": torch.zeros(2)}]
    assert NoSoup().build()(weights, lambda candidate: 1.0) == {}
