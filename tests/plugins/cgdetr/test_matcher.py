"""Assignments equal their plain twin."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from amrbench.errors import RunError
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
