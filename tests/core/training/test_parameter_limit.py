import pytest
from torch import nn

from amrbench.errors import RecipeError
from amrbench.training.parameter_limit import MOST_PARAMETERS, limited_parameters


def test_a_model_with_too_many_parameters_is_refused_while_it_is_built():
    with pytest.raises(RecipeError) as error, limited_parameters("big"):
        nn.Sequential(*(nn.Linear(1000, 10_000) for _ in range(1000)))
    assert str(error.value) == (
        "big: model and losses have more than 100,000,000 parameters. Lower the widths, layers and counts of "
        "their parts."
    )


def test_one_huge_layer_is_refused_before_its_weights_are_drawn():
    with pytest.raises(RecipeError), limited_parameters("big"):
        nn.Linear(15_000, 10_000)


def test_a_shared_parameter_counts_once():
    with limited_parameters("tied"):
        layer = nn.Linear(1000, 1000)
        for _ in range(2 * MOST_PARAMETERS // 1_000_000):
            nn.Linear(1, 1).weight = layer.weight


def test_a_layer_whose_size_is_not_known_yet_is_let_through():
    with limited_parameters("lazy"):
        nn.LazyLinear(10)


def test_afterwards_there_is_no_limit():
    with limited_parameters("small"):
        nn.Linear(2, 2)
    nn.Linear(15_000, 10_000, device="meta")
