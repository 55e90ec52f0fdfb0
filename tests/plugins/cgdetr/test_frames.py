"""Means over frames, as the reference takes them."""

from __future__ import annotations

import pytest
import torch

from amrbench_plugins.cgdetr.frames import binary_entropy, frame_mean, in_longest

MASK = torch.tensor([[True, True, True, False], [True, False, False, False]])


def test_the_longest_sample_gives_the_rows_that_count() -> None:
    assert in_longest(MASK).tolist() == [True, True, True, False]


def test_a_mean_counts_the_padding_up_to_the_longest_sample() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0, 99.0], [6.0, 0.0, 0.0, 99.0]])
    assert frame_mean(values, MASK).item() == pytest.approx(12 / 6)


def test_a_certain_mistake_costs_100() -> None:
    label = torch.tensor([True, False, True])
    assert binary_entropy(torch.tensor([0.0, 1.0, 1.0]), label).tolist() == [100, 100, 0]
