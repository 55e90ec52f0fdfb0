"""What holds for soups of all kinds."""

import pytest
import torch
from torch.testing import assert_close

from amrbench.registry import Registry
from amrbench.testing import check_part
from amrbench_plugins.soups import amrbench_parts
from amrbench_plugins.soups.parts import Fisher, Greedy, Uniform
from tests.plugins.soups.candidates import FISHERS, MODELS, Scorer, make, seeds


@pytest.mark.parametrize("part", [Uniform(), Greedy(), Fisher()], ids=lambda part: part.use)
def test_a_soup_of_equal_models_is_the_model(part):
    soup = make(part, Scorer(FISHERS[:3]), [MODELS[0]] * 3).weights
    for name, value in MODELS[0].items():
        assert_close(soup[name], value, rtol=1e-12, atol=0)


@pytest.mark.parametrize("part", [Uniform(), Fisher()], ids=lambda part: part.use)
def test_the_order_of_the_seeds_does_not_matter(part):
    order = [2, 0, 3, 1]
    plain = make(part, Scorer(FISHERS)).weights
    fishers, models = [FISHERS[seed] for seed in order], [MODELS[seed] for seed in order]
    other = make(part, Scorer(fishers), models).weights
    for name, value in plain.items():
        assert_close(other[name], value, rtol=1e-12, atol=0)


@pytest.mark.parametrize("part", [Uniform(ingredient="last"), Fisher(ingredient="last")])
def test_a_soup_of_last_epochs_has_another_name(part):
    (name,) = part.build()(seeds(), Scorer(FISHERS))
    assert name == f"{part.use} soup of last epochs"
    last = [{name: 10 * value for name, value in model.items()} for model in MODELS]
    expected = make(type(part)(), Scorer(FISHERS), last).weights
    soup = make(part, Scorer(FISHERS))
    assert all(torch.equal(soup.weights[name], value) for name, value in expected.items())
    assert soup.about["epoch"] == "last"


@pytest.mark.parametrize("part", list(amrbench_parts()), ids=lambda part: part.use)
def test_parts_keep_the_contract(part):
    registry = Registry.of(*amrbench_parts())
    check_part(part.model_validate(dict(part.example), context=registry), registry)
