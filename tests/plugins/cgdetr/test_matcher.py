"""Assignments equal their plain twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from amrbench.errors import RunError
from amrbench.testing.small_data import make_batch, make_target
from amrbench_plugins.cgdetr.matcher import assign
from tests.plugins.cgdetr import golden
from tests.plugins.cgdetr.made_up import made_up


def by_hand(costs: np.ndarray, mask: np.ndarray) -> np.ndarray:
    matched = np.full((len(costs), *mask.shape), -1)
    for layer, row in np.ndindex(*costs.shape[:2]):
        real = np.flatnonzero(mask[row])
        for query, window in zip(*linear_sum_assignment(costs[layer, row][:, real]), strict=True):
            matched[layer, row, real[window]] = query
    return matched


@pytest.mark.parametrize("queries", [1, 2, 6])
def test_assignments_equal_the_plain_twin(queries: int) -> None:
    random = np.random.default_rng(queries)
    costs = random.normal(size=(3, 40, queries, 4)).astype(np.float32)
    mask = random.random((40, 4)) < 0.5
    mask[:5] = np.tri(5, 4, -1, dtype=bool)
    costs[:, ~mask.any(1)] = np.nan
    assert assign(costs, mask).tolist() == by_hand(np.nan_to_num(costs), mask).tolist()


def test_more_windows_than_queries_leave_some_unmatched() -> None:
    matched = assign(np.random.default_rng(0).random((2, 1, 2, 5)), np.ones((1, 5), dtype=bool))
    for layer in range(2):
        assert sorted(matched[layer, 0].tolist()) == [-1, -1, -1, 0, 1]


@pytest.mark.parametrize("windows", [1, 2])
def test_predictions_that_are_not_finite_are_refused(windows: int) -> None:
    mask = np.ones((1, windows), dtype=bool)
    with pytest.raises(
        RunError, match=r"not finite numbers, so training has diverged; lower the learning rate"
    ):
        assign(np.full((1, 1, 3, windows), np.nan), mask)


def test_the_matcher_reads_the_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = golden.ours(tiled=False)
    inputs, targets = made_up("many windows")
    result = golden.run(ours.model, inputs)
    transfers, plain = [], Tensor.cpu
    monkeypatch.setattr(Tensor, "cpu", lambda self: transfers.append(self.shape) or plain(self))
    golden.outcome_of(result, golden.target_of(targets))
    assert len(transfers) == 1


@pytest.mark.parametrize("same_windows", [True, False])
def test_all_models_of_an_array_are_matched_in_one_transfer(
    monkeypatch: pytest.MonkeyPatch, *, same_windows: bool
) -> None:
    torch.manual_seed(0)
    matcher = golden.option("matcher", "hungarian").build()
    tensors = {"spans": torch.rand(3, 2, 5, 6, 2), "scores": torch.rand(3, 2, 5, 6)}
    target = make_target(make_batch(frames=(9, 8, 7, 6, 5)[:5], words=(1,) * 5))
    masks = torch.stack([target.spans_mask, target.spans_mask.roll(1, 0), ~target.spans_mask])
    masks = masks[:1].expand(3, -1, -1) if same_windows else masks
    alone = [
        matcher({name: own[k] for name, own in tensors.items()}, replace(target, spans_mask=masks[k]))
        for k in range(3)
    ]
    transfers, plain = [], Tensor.cpu
    monkeypatch.setattr(Tensor, "cpu", lambda self: transfers.append(self.shape) or plain(self))
    together = torch.vmap(
        lambda own, mask: matcher(own, replace(target, spans_mask=mask)),
        in_dims=(0, None if same_windows else 0),
    )(tensors, masks[0] if same_windows else masks)
    assert torch.equal(together, torch.stack(alone))
    assert len(transfers) == 1
