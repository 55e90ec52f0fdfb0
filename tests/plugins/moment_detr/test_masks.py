"""Masks of one bit for each element."""

from __future__ import annotations

import pytest
import torch

from amrbench_plugins.moment_detr.masks import Masks


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_masks_drop_with_their_probability(p: float) -> None:
    masks, ones = Masks(p), torch.ones(401, 501)
    kept = masks.draw(ones.shape).apply(ones, torch.empty_like(ones))
    deviation = (p * (1 - p) / kept.numel()) ** 0.5
    assert float(kept.mean()) == pytest.approx(1 - p, abs=5 * deviation)
    assert masks.scale == pytest.approx(1 / (1 - p), rel=1e-4)


def test_masks_follow_the_seed_and_differ_from_each_other() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks = Masks(0.5)
        drawn.append([masks.draw((7, 13)).bits.tolist() for _ in range(2)])
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert drawn[0][0] != drawn[0][1]


def test_a_mask_can_overwrite_what_it_is_applied_to() -> None:
    mask, x = Masks(0.5).draw((3, 5)), torch.rand(3, 5) + 1
    elsewhere = mask.apply(x, torch.empty_like(x))
    assert mask.apply(x, x) is x
    assert x.equal(elsewhere)
    assert 0 < int((x == 0).sum()) < 15
