import json

import pytest
import torch
from amrbench.training.fisher import diagonal_fisher
from torch import nn

from amrbench.types import Losses
from tests.folders import DATA

GOLDEN = json.loads((DATA / "components/fisher_logistic.json").read_text())


class Logistic(nn.Module):
    """A logistic model with dropout that evaluation must turn off, and weights that do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(GOLDEN["w"], dtype=torch.float64))
        self.idle = nn.Parameter(torch.ones(2))
        self.frozen = nn.Parameter(torch.ones(1, dtype=torch.float64), requires_grad=False)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x, y) -> Losses:
        logits = self.dropout(x) @ (self.weight * self.frozen)
        total = nn.functional.binary_cross_entropy_with_logits(logits, y)
        return Losses(total, {})


def samples(size: int):
    x = torch.tensor(GOLDEN["X"], dtype=torch.float64)
    y = torch.tensor(GOLDEN["y"], dtype=torch.float64)
    return list(zip(x.split(size), y.split(size), strict=True))


def test_the_empirical_information_of_a_logistic_model_is_the_recorded_one():
    found = diagonal_fisher(Logistic(), samples(1))
    assert found["weight"].tolist() == pytest.approx(GOLDEN["fisher_empirical_diag"], rel=1e-10)


def test_a_batch_gives_the_square_of_its_mean_which_is_why_samples_come_alone():
    found = diagonal_fisher(Logistic(), samples(6))
    assert found["weight"].tolist() == pytest.approx(GOLDEN["square_of_mean_grad_WRONG"], rel=1e-10)


def test_every_trained_tensor_has_an_entry_and_no_other():
    found = diagonal_fisher(Logistic(), samples(1))
    assert set(found) == {"weight", "idle"}
    assert found["idle"].tolist() == [0, 0]
    assert all(each.dtype == torch.float64 for each in found.values())


def test_without_samples_all_is_zero():
    assert diagonal_fisher(Logistic(), [])["weight"].tolist() == [0, 0, 0]
