"""Means keep data types, and what training does not change."""

import pytest
import torch
from torch import Tensor

from amrbench.errors import RunError
from amrbench.slots.soups import Weights
from amrbench_plugins.soups.parts import Fisher, Greedy, Uniform
from amrbench_plugins.soups.weighted_mean import WeightedMean
from tests.plugins.soups.candidates import FISHERS, GOLDEN, MODELS, Scorer, assert_recorded, make


def test_the_weighted_mean_equals_the_recorded_one():
    mean = WeightedMean(())
    for index, (model, fisher) in enumerate(zip(MODELS, FISHERS, strict=True)):
        mean.add(f"seed {index}", model, {name: value.clamp(min=1e-6) for name, value in fisher.items()})
    assert_recorded(mean.mean(), GOLDEN["fisher_floor_all_no_norm"])


def test_numbers_keep_their_type_and_are_summed_in_double():
    models = [{"w": torch.tensor([1e8 + 8 * seed, 0.1], dtype=torch.float32)} for seed in range(3)]
    mean = make(Uniform(), models=models).weights
    assert mean["w"].dtype == torch.float32
    assert mean["w"].tolist() == [1e8 + 8, pytest.approx(0.1)]


def with_fixed(*values: Tensor) -> list[Weights]:
    return [{**MODELS[0], "fixed": value} for value in values]


@pytest.mark.parametrize("part", [Uniform(), Greedy(), Fisher()], ids=lambda part: part.use)
@pytest.mark.parametrize(
    "values",
    [
        (torch.tensor(3), torch.tensor(4)),
        (torch.tensor([True, False]), torch.tensor([True, True])),
        (torch.tensor([0.5, 1.0]), torch.tensor([0.5, 1.001])),
    ],
    ids=["counts", "masks", "frequencies"],
)
def test_fixed_tensors_must_agree(part, values):
    scorer = Scorer(FISHERS, fixed=("fixed",))
    with pytest.raises(RunError) as error:
        make(part, scorer, with_fixed(*values))
    assert str(error.value) == (
        "a soup cannot be made: seed 0 and seed 1 disagree in 'fixed', which training does not change, so "
        "their weights mean different things. Make it independent of the seed of the run, or choose "
        "'soup: none'."
    )


def test_fixed_tensors_are_kept_bit_by_bit():
    values = (torch.tensor([1 / 3]), torch.tensor([1 / 3 + 1e-8]))
    soup = make(Uniform(), Scorer(fixed=("fixed",)), with_fixed(*values))
    assert torch.equal(soup.weights["fixed"], values[0])
    numbers = (torch.tensor(9), torch.tensor(9))
    soup = make(Fisher(), Scorer(FISHERS, fixed=("fixed",)), with_fixed(*numbers))
    assert soup.weights["fixed"].item() == 9
