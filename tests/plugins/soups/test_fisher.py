"""Fisher-weighted soups equal the recorded ones and their plain twin."""

import copy
import re

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from amrbench.errors import RunError
from amrbench_plugins.soups.fisher import joined
from amrbench_plugins.soups.parts import Fisher
from amrbench_plugins.soups.weighted_mean import WeightedMean
from tests.plugins.soups.candidates import FISHERS, GOLDEN, MODELS, Scorer, assert_recorded, make
from tests.plugins.soups.plain import (
    drawn_information,
    drawn_models,
    plain_fisher,
    plain_importance,
    plain_mean,
    plain_row,
)


def test_the_fisher_soup_says_how_much_is_floored():
    scorer = Scorer(FISHERS)
    soup = make(Fisher(), scorer)
    assert scorer.losses == [("span-l1", "span-giou", "varifocal", "iou-l1")] * 4
    floored = soup.about["floored"]
    assert floored["seed 0"] == pytest.approx(1 / 9, abs=1e-6)
    assert floored["seed 1"] == pytest.approx(2 / 9, abs=1e-6)
    assert re.fullmatch(r"\d+\.\d% of the numbers count by the floor alone", soup.note)
    fraction = sum(floored.values()) / len(floored)
    assert float(soup.note.split("%")[0]) == pytest.approx(100 * fraction, abs=0.06)


@pytest.mark.parametrize(
    ("name", "floors"),
    [
        ("fisher_floor_all_l2norm", [1e-6] * 4),
        ("fisher_weighted_coeffs_l2norm", [1e-6] * 4),
        # The default of the public code: numbers without information in any seed are those of the first.
        ("fisher_favor_target_l2norm", [1e-6, 1e-300, 1e-300, 1e-300]),
    ],
)
def test_absolute_floors_and_weights_of_seeds_give_the_recorded_soups(name, floors):
    case, mean = GOLDEN[name], WeightedMean(())
    for index, (coefficient, floor) in enumerate(zip(case["coefficients"], floors, strict=True)):
        weights = plain_importance(FISHERS[index], floor)
        scaled = {key: coefficient * value for key, value in weights.items()}
        mean.add(f"seed {index}", MODELS[index], scaled)
    assert_recorded(mean.mean(), case)


@pytest.mark.parametrize("floor", [1e-6, 0.3])
@pytest.mark.parametrize("count", [1, 5])
def test_the_soup_has_the_bits_of_its_plain_twin(count, floor):
    shapes = {"weight": (61, 43), "bias": (43,), "scale": ()}
    models, information = drawn_models(count, shapes), drawn_information(count, shapes)
    before = copy.deepcopy(information)
    soup = make(Fisher(floor=floor), Scorer(information, fixed=("grid",)), models)
    expected, floored = plain_fisher(models, {"grid"}, information, floor)
    assert soup.weights.keys() == expected.keys()
    assert all(torch.equal(soup.weights[name], value) for name, value in expected.items())
    assert list(soup.about["floored"].values()) == floored
    for given, old in zip(information, before, strict=True):
        assert all(torch.equal(given[name], value) for name, value in old.items())


def test_joined_tensors_are_parts_of_one_row():
    given = dict(FISHERS[0])
    row, parts = joined(given)
    assert torch.equal(row, plain_row(FISHERS[0]))
    assert all(torch.equal(parts[name], value) for name, value in FISHERS[0].items())
    assert given == {}, "a tensor is let go as soon as it is copied"
    row.zero_()
    assert not any(part.any() for part in parts.values())


def by_hand(floor: float) -> list[float]:
    """The numbers of "b" under a floor relative to the root mean square, one by one."""
    means = []
    for index in range(3):
        above = below = 0.0
        for model, fisher in zip(MODELS, FISHERS, strict=True):
            numbers = [*fisher["w"].flatten().tolist(), *fisher["b"].tolist()]
            norm = sum(number**2 for number in numbers) ** 0.5
            weight = max(fisher["b"][index].item(), floor * norm / len(numbers) ** 0.5) / norm
            above, below = above + weight * model["b"][index].item(), below + weight
        means.append(above / below)
    return means


@pytest.mark.parametrize("floor", [1e-6, 0.3])
def test_a_floor_relative_to_the_root_mean_square_equals_the_plain_twin(floor):
    soup = make(Fisher(floor=floor), Scorer(FISHERS))
    assert soup.weights["b"].tolist() == pytest.approx(by_hand(floor), rel=1e-10)


def test_a_factor_on_the_information_of_a_seed_changes_nothing():
    scaled = [
        {name: factor * value for name, value in fisher.items()}
        for factor, fisher in zip((1e-9, 3.0, 1.0, 1e4), FISHERS, strict=True)
    ]
    plain, other = make(Fisher(), Scorer(FISHERS)), make(Fisher(), Scorer(scaled))
    for name, value in plain.weights.items():
        assert_close(other.weights[name], value, rtol=1e-10, atol=0)


def test_equal_information_makes_a_uniform_soup():
    assert_recorded(make(Fisher(), Scorer([FISHERS[1]] * 4)).weights, GOLDEN["uniform"])


@pytest.mark.parametrize("count", [2, 5])
def test_numbers_that_no_loss_reaches_have_the_plain_mean(count):
    shapes = {"weight": (61, 43), "bias": (43,)}
    models, information = drawn_models(count, shapes), drawn_information(count, shapes)
    for seed, one in enumerate(information):
        one["bias"].zero_()
        one["weight"] *= 10.0**seed
        one["weight"][0] = 0
    soup = make(Fisher(), Scorer(information, fixed=("grid",)), models).weights
    plain = plain_mean(models, {"grid"})
    assert_close(soup["bias"], plain["bias"], rtol=1e-6, atol=0)
    assert_close(soup["weight"][0], plain["weight"][0], rtol=1e-6, atol=0)
    assert float(soup["weight"][1:].isclose(plain["weight"][1:], rtol=1e-6).float().mean()) < 0.01


def test_the_data_of_the_information_can_be_chosen():
    for data in ("select", "train"):
        scorer = Scorer(FISHERS)
        make(Fisher(data=data), scorer)
        assert scorer.data == [data] * 4


def test_information_of_zero_is_refused():
    zero = {name: torch.zeros_like(value) for name, value in FISHERS[0].items()}
    with pytest.raises(RunError) as error:
        make(Fisher(losses=("span-l1",)), Scorer([FISHERS[0], zero]))
    assert str(error.value) == (
        "a soup cannot be made: the norm of the Fisher information of seed 1 is 0, so it cannot weight a "
        "mean. Check the losses that it is computed of: span-l1."
    )


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
def test_information_that_is_not_finite_is_refused(number):
    infinite = {name: value.clone() for name, value in FISHERS[0].items()}
    infinite["b"][1] = number
    with pytest.raises(RunError, match=f"the norm of the Fisher information of seed 1 is {number}, so it"):
        make(Fisher(), Scorer([FISHERS[0], infinite]))


def test_a_floor_of_zero_is_refused():
    with pytest.raises(ValidationError) as error:
        Fisher(floor=0)
    assert "Input should be greater than or equal to 0.000000000001, not 0." in str(error.value)
    without_information = [{**fisher, "b": torch.zeros(3, dtype=torch.float64)} for fisher in FISHERS]
    soup = make(Fisher(), Scorer(without_information)).weights["b"]
    assert soup.isfinite().all(), "numbers without information in any seed have a mean all the same"
