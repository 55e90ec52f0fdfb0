"""Dropout of elements and of branches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from amrbench_plugins.moment_detr.dropout import (
    RESIDUAL_SUMS,
    ElementDropout,
    ResidualSum,
    StochasticDepth,
    dropout,
)
from amrbench_plugins.moment_detr.packing import Packing

WIDTH = 8
MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0]]).bool()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


# ---------------------------------------------------------------- elements


def test_dropout_in_evaluation_is_no_operation() -> None:
    x = torch.randn(3)
    assert dropout(x, 0.5, False) is x
    assert dropout(x, 0.0, True) is x


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(p: float) -> None:
    dropped = dropout(torch.ones(400, 501), p, True)
    count = dropped.numel()
    deviation = (p * (1 - p) / count) ** 0.5
    assert float((dropped == 0).float().mean()) == pytest.approx(p, abs=5 * deviation)
    assert dropped[dropped > 0].unique().tolist() == pytest.approx([1 / (1 - p)], rel=1e-4)


def test_a_probability_just_below_one_keeps_a_few_numbers() -> None:
    dropped = dropout(torch.ones(1_000_000), 0.9999999, True)
    assert dropped.unique().tolist() == [0.0, 65536.0]


def test_elements_are_dropped_independently() -> None:
    kept = (dropout(torch.ones(200_000), 0.5, True) > 0).float() - 0.5
    for distance in (1, 2, 3, 4, 8):
        together = float((kept[distance:] * kept[:-distance]).mean()) * 4
        assert abs(together) < 5 / len(kept) ** 0.5, distance


def test_dropout_follows_the_seed() -> None:
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(dropout(torch.ones(7, 13), 0.5, True))
    assert draws[0].equal(draws[1])
    assert not draws[0].equal(draws[2])


def test_only_kept_numbers_have_a_gradient() -> None:
    x = torch.randn(5, 7, requires_grad=True)
    out = dropout(x, 0.3, True)
    out.backward(torch.full_like(x, 2.0))
    assert_close(x.grad, 2 * (out / x).detach())


# ---------------------------------------------------------------- stochastic depth


def test_a_sample_loses_its_whole_branch_or_none_of_it() -> None:
    x, branch = torch.zeros(4000, 3, 2), torch.ones(4000, 3, 2)
    out = StochasticDepth(0.25)(x, branch)
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert out.flatten(1).std(1).max() == 0
    assert float((out[:, 0, 0] == 0).float().mean()) == pytest.approx(0.25, abs=0.035)


def test_groups_of_a_sample_are_dropped_independently() -> None:
    groups = torch.tensor([0, 1, 1, 0]).expand(4000, -1)
    out = StochasticDepth(0.5)(torch.zeros(4000, 4, 1), torch.ones(4000, 4, 1), groups)[..., 0]
    assert out[:, 0].equal(out[:, 3])
    assert out[:, 1].equal(out[:, 2])
    both = ((out[:, 0] > 0) & (out[:, 1] > 0)).float().mean()
    assert float(both) == pytest.approx(0.25, abs=0.035)


@pytest.mark.parametrize("residual_sum", RESIDUAL_SUMS.values())
def test_a_residual_in_evaluation_is_a_sum(residual_sum: type[ResidualSum]) -> None:
    x, branch = torch.randn(2, 3, 4), torch.randn(4)
    assert residual_sum(0.5).eval()(x, branch).equal(x + branch)
    assert residual_sum(0.0)(x, branch).equal(x + branch)


# ---------------------------------------------------------------- elements of a branch


def test_elements_of_a_branch_are_dropped_independently() -> None:
    out = ElementDropout(0.25)(torch.zeros(400, 5, 2), torch.ones(400, 5, 2))
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.75], rel=1e-4)
    assert float((out == 0).float().mean()) == pytest.approx(0.25, abs=0.035)
    assert float((out.flatten(1).std(1) > 0).float().mean()) > 0.9, "a branch loses some of its elements"


def test_a_branch_that_is_the_same_for_all_rows_loses_other_elements_of_each() -> None:
    out = ElementDropout(0.5)(torch.zeros(200, 3, 4), torch.ones(4))
    assert len(out.view(-1, 4).unique(dim=0)) > 8


def test_only_packed_rows_get_the_branch_and_elements_of_it_are_dropped() -> None:
    x, packing, branch = torch.randn(12, WIDTH), Packing.of(MASK), nn.Linear(WIDTH, WIDTH)
    torch.manual_seed(1)
    ours = ElementDropout(0.5).packed(x, lambda rows, kept: branch(rows), packing)
    torch.manual_seed(1)
    real = MASK.flatten()
    assert_close(ours[real], x[real] + dropout(branch(x[real]), 0.5, True))
    assert ours[~real].equal(x[~real])


# ---------------------------------------------------------------- arrays of models


def test_models_of_an_array_lose_other_numbers_and_branches() -> None:
    ones = torch.ones(2, 2000, 3, 2)
    dropped = torch.vmap(lambda x: dropout(x, 0.25, True), randomness="different")(ones)
    lost = torch.vmap(lambda x: StochasticDepth(0.25)(0 * x, x), randomness="different")(ones)
    assert lost.flatten(2).std(2).max() == 0, "a sample loses its whole branch or none of it"
    for out in (dropped, lost):
        assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
        assert not out[0].equal(out[1])
        assert float((out == 0).float().mean()) == pytest.approx(0.25, abs=0.035)


# ---------------------------------------------------------------- what is dropped is skipped


def test_a_skipped_branch_equals_a_dropped_one() -> None:
    x, packing = torch.randn(6, WIDTH), Packing(None, (3, 1, 2))
    branch = nn.Linear(WIDTH, WIDTH)
    sizes: list[int] = []

    def count(rows: Tensor, kept: Packing) -> Tensor:
        sizes.append(len(rows))
        return branch(rows)

    for seed in range(20):
        torch.manual_seed(seed)
        ours = StochasticDepth(0.5).packed(x, count, packing)
        torch.manual_seed(seed)
        scale = (torch.empty(3).bernoulli_(0.5) * 2).repeat_interleave(torch.tensor(packing.lengths))
        plain = x + scale[:, None] * branch(x)
        assert_close(ours, plain)
    assert min(sizes) == 0
    assert max(sizes) == 6


def test_padding_and_dropped_sequences_are_skipped() -> None:
    x, packing, branch = torch.randn(12, WIDTH), Packing.of(MASK), nn.Linear(WIDTH, WIDTH)
    real = MASK.flatten()[:, None].float()
    for seed in range(20):
        torch.manual_seed(seed)
        ours = StochasticDepth(0.5).packed(x, lambda rows, kept: branch(rows), packing)
        torch.manual_seed(seed)
        scale = (torch.empty(3).bernoulli_(0.5) * 2).repeat_interleave(4)
        assert_close(ours, x + scale[:, None] * real * branch(x))
    alone = StochasticDepth(0.5).eval().packed(x, lambda rows, kept: branch(rows), packing)
    assert_close(alone, x + real * branch(x))


@pytest.mark.parametrize("residual_sum", RESIDUAL_SUMS.values())
def test_nothing_is_skipped_in_evaluation(residual_sum: type[ResidualSum]) -> None:
    x, packing = torch.randn(3, WIDTH), Packing(None, (3,))
    assert residual_sum(0.9).eval().packed(x, lambda rows, kept: 2 * rows, packing).equal(3 * x)
