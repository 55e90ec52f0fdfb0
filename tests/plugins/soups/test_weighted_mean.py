"""Means keep data types, and what training does not change."""

import copy
import weakref
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from amrbench.errors import RunError
from amrbench.slots.soups import Weights
from amrbench_plugins.soups.parts import Fisher, Greedy, Uniform
from amrbench_plugins.soups.weighted_mean import WeightedMean
from tests.plugins.soups.candidates import FISHERS, GOLDEN, MODELS, Scorer, assert_recorded, make
from tests.plugins.soups.plain import drawn_information, drawn_models, plain_mean

SHAPES = {"weight": (37, 19), "bias": (19,), "scale": (), "kernel": (3, 4, 5)}


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_plain_mean_has_the_bits_of_its_plain_twin(count, dtype):
    models = drawn_models(count, SHAPES, dtype=dtype)
    before = copy.deepcopy(models)
    mean = make(Uniform(), Scorer(fixed=("grid",)), models).weights
    assert_same_bits(mean, plain_mean(models, {"grid"}))
    assert [*mean] == [*models[0]]
    for model, old in zip(models, before, strict=True):
        assert_same_bits(model, old)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_weighted_mean_has_the_bits_of_its_plain_twin(count):
    models, importances = drawn_models(count, SHAPES), drawn_information(count, SHAPES)
    before = copy.deepcopy(models + importances)
    mean = WeightedMean({"grid"})
    for index, (model, importance) in enumerate(zip(models, importances, strict=True)):
        mean.add(f"seed {index}", model, importance)
    assert_same_bits(mean.mean(), plain_mean(models, {"grid"}, importances))
    for given, old in zip(models + importances, before, strict=True):
        assert_same_bits(given, old)


class ReadOneByOne(Mapping):
    """Weights that count how many tensors were read and are still in use."""

    def __init__(self, weights: Weights, alive: weakref.WeakSet, most: list[int]) -> None:
        self.weights, self.alive, self.most = weights, alive, most

    def __getitem__(self, name):
        tensor = self.weights[name].clone()
        self.alive.add(tensor)
        self.most.append(len(self.alive))
        return tensor

    def __iter__(self):
        return iter(self.weights)

    def __len__(self):
        return len(self.weights)


def test_a_plain_mean_reads_one_tensor_of_each_candidate_at_a_time():
    shapes, alive, most = {f"w{number}": (2,) for number in range(50)}, weakref.WeakSet(), []
    models = [ReadOneByOne(model, alive, most) for model in drawn_models(4, shapes)]
    make(Uniform(), Scorer(fixed=("grid",)), models)
    assert len(most) >= 4 * 50
    assert max(most) <= 2 * 4


def assert_same_bits(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype
        assert torch.equal(value, other[name]), name


def with_fixed(*values: Tensor) -> list[Weights]:
    return [{**MODELS[0], "fixed": value} for value in values]


@pytest.mark.parametrize("part", [Uniform(), Greedy(), Fisher()], ids=lambda part: part.use)
@pytest.mark.parametrize(
    "values",
    [
        (torch.tensor(3), torch.tensor(4)),
        (torch.tensor([True, False]), torch.tensor([True, True])),
        (torch.tensor([0.5, 1.0]), torch.tensor([0.5, 1.001])),
        (torch.tensor([0.5, 1.0]), torch.tensor([0.5, 1.00001])),
    ],
    ids=["counts", "masks", "frequencies", "more than rounding"],
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
