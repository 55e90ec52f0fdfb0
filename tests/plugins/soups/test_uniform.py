"""The uniform soup equals the recorded one."""

import torch
from torch.testing import assert_close

from amrbench_plugins.soups.parts import Uniform
from tests.plugins.soups.candidates import GOLDEN, MODELS, assert_recorded, make


def test_the_uniform_soup_equals_the_recorded_one():
    soup = make(Uniform())
    assert_recorded(soup.weights, GOLDEN["uniform"])
    assert soup.about == {"soup": "uniform", "epoch": "best"}
    assert (soup.kind, soup.ingredients) == ("soup", ["seed 0", "seed 1", "seed 2", "seed 3"])


def test_the_soup_of_linear_models_predicts_the_mean_of_their_predictions():
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    soup = make(Uniform()).weights
    predictions = torch.stack([x @ model["w"].T for model in MODELS])
    assert_close(x @ soup["w"].T, predictions.mean(0))
