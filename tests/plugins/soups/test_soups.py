"""Soups equal the recorded ones, and mix only what belongs together."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from amrbench.errors import RecipeError, RunError
from amrbench.part import Strict
from amrbench.registry import Registry
from amrbench.slots.soups import Soup, SoupPart, SoupResult, Weights
from amrbench.testing import check_part
from amrbench_plugins.soups import amrbench_parts
from amrbench_plugins.soups.fisher import Fisher
from amrbench_plugins.soups.greedy import Greedy
from amrbench_plugins.soups.mixing import Pot
from amrbench_plugins.soups.none import NoSoup
from amrbench_plugins.soups.several import Several
from amrbench_plugins.soups.single import Best, Last
from amrbench_plugins.soups.uniform import Uniform

GOLDEN = json.loads((Path(__file__).parents[2] / "data/components/soups.json").read_text())


def weights(numbers: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: torch.tensor(numbers[name], dtype=torch.float64) for name in ("w", "b")}


MODELS = [weights(each) for each in GOLDEN["models"]]
FISHERS = [weights(each) for each in GOLDEN["fishers"]]


@dataclass
class Seed:
    """A candidate; its last epoch is ten times its best."""

    name: str
    weights: Weights

    def best(self) -> Weights:
        return self.weights

    def last(self) -> Weights:
        return {name: 10 * each if name != "fixed" else each for name, each in self.weights.items()}


class Judge:
    """Scores by the distance to the recorded target; knows the recorded Fisher weights."""

    def __init__(self, fishers: Sequence[Weights] = (), fixed: tuple[str, ...] = ()) -> None:
        self.fishers = list(fishers)
        self.fixed = frozenset(fixed)
        self.asked: list[float] = []
        self.losses: list[Sequence[str]] = []

    def performance(self, found: Weights) -> float:
        target = weights(GOLDEN["greedy"]["target"])
        height = -sum(float((found[name] - target[name]).square().sum()) for name in target)
        self.asked.append(height)
        return height

    def fisher(self, found: Weights, losses: Sequence[str]) -> Weights:
        self.losses.append(losses)
        return self.fishers.pop(0)


def seeds(models: Sequence[Weights] = MODELS) -> list[Seed]:
    return [Seed(f"seed {number}", each) for number, each in enumerate(models)]


def cook(part: SoupPart, judge: Judge | None = None, models: Sequence[Weights] = MODELS) -> SoupResult:
    """Return the one member of a soup."""
    (found,) = part.build()(seeds(models), judge or Judge()).values()
    return found


def same(found: Weights, wanted: Mapping[str, Any], rtol: float = 1e-10) -> None:
    for name, each in weights(wanted).items():
        assert_close(found[name], each, rtol=rtol, atol=1e-12)


# ---------------------------------------------------------------- kinds


def test_no_soup_adds_no_member():
    assert NoSoup().build()(seeds(), Judge()) == {}


def test_the_uniform_soup_equals_the_recorded_one():
    found = cook(Uniform())
    same(found.weights, GOLDEN["uniform"])
    assert found.about == {"soup": "uniform", "epoch": "best"}
    assert (found.kind, found.ingredients) == ("soup", ["seed 0", "seed 1", "seed 2", "seed 3"])


def test_the_greedy_soup_equals_the_recorded_one():
    case, judge = GOLDEN["greedy"], Judge()
    found = cook(Greedy(), judge)
    same(found.weights, case["soup"])
    assert found.ingredients == [f"seed {place}" for place in case["ingredients"]]
    assert found.note == f"{len(case['ingredients'])} of 4 seeds are in it"
    assert judge.asked[:4] == pytest.approx(case["individual_scores"])
    tried = [trial["score"] for trial in case["trials"]]
    assert judge.asked[4:] == pytest.approx(tried)


def test_a_greedy_soup_takes_ties_only_when_told_to():
    twice = [MODELS[0], MODELS[0]]
    assert cook(Greedy(), models=twice).ingredients == ["seed 0"]
    assert cook(Greedy(ties=True), models=twice).ingredients == ["seed 0", "seed 1"]


@pytest.mark.parametrize(
    ("options", "name"),
    [({"norm": False}, "fisher_floor_all_no_norm"), ({}, "fisher_floor_all_l2norm")],
)
def test_the_fisher_soup_equals_the_recorded_one(options, name):
    judge = Judge(FISHERS)
    found = cook(Fisher(floor_of="one", **options), judge)
    same(found.weights, GOLDEN[name])
    assert judge.losses == [("span-l1", "span-giou", "varifocal", "iou-l1")] * 4
    floored = found.about["floored"]
    assert floored["seed 0"] == pytest.approx(1 / 9, abs=1e-6)
    assert floored["seed 1"] == pytest.approx(2 / 9, abs=1e-6)
    assert re.fullmatch(r"\d+\.\d% of the numbers count by the floor alone", found.note)
    share = sum(floored.values()) / len(floored)
    assert float(found.note.split("%")[0]) == pytest.approx(100 * share, abs=0.06)


@pytest.mark.parametrize(
    ("name", "floors"),
    [
        ("fisher_weighted_coeffs_l2norm", [1e-6] * 4),
        # The reference's default: what no seed has information about is then that of the first.
        ("fisher_favor_target_l2norm", [1e-6, 1e-300, 1e-300, 1e-300]),
    ],
)
def test_other_weights_of_seeds_and_other_floors_equal_the_recorded_ones(name, floors):
    case, pot = GOLDEN[name], Pot(())
    for at, (share, floor) in enumerate(zip(case["coefficients"], floors, strict=True)):
        part = Fisher(floor=floor, floor_of="one")
        importance = part.importance(FISHERS[at], f"seed {at}").weights
        pot.add(f"seed {at}", MODELS[at], {each: share * value for each, value in importance.items()})
    same(pot.mean(), case)


def by_hand(floor: float) -> list[float]:
    """The numbers of "b" under a relative floor, one by one."""
    means = []
    for place in range(3):
        above = below = 0.0
        for model, fisher in zip(MODELS, FISHERS, strict=True):
            every = [*fisher["w"].flatten().tolist(), *fisher["b"].tolist()]
            norm = sum(each**2 for each in every) ** 0.5
            share = max(fisher["b"][place].item(), floor * sum(every) / len(every)) / norm
            above, below = above + share * model["b"][place].item(), below + share
        means.append(above / below)
    return means


@pytest.mark.parametrize("floor", [1e-6, 0.3])
def test_a_floor_relative_to_the_mean_equals_the_slow_twin(floor):
    found = cook(Fisher(floor=floor), Judge(FISHERS))
    assert found.weights["b"].tolist() == pytest.approx(by_hand(floor), rel=1e-10)


def test_a_factor_on_the_information_of_a_seed_changes_nothing():
    scaled = [
        {name: factor * each for name, each in fisher.items()}
        for factor, fisher in zip((1e-9, 3.0, 1.0, 1e4), FISHERS, strict=True)
    ]
    plain, other = cook(Fisher(), Judge(FISHERS)), cook(Fisher(), Judge(scaled))
    for name, each in plain.weights.items():
        assert_close(other.weights[name], each, rtol=1e-10, atol=0)


def test_equal_information_makes_a_uniform_soup():
    found = cook(Fisher(), Judge([FISHERS[1]] * 4))
    same(found.weights, GOLDEN["uniform"])


def test_information_of_nothing_is_refused():
    nothing = {name: torch.zeros_like(each) for name, each in FISHERS[0].items()}
    with pytest.raises(RunError) as error:
        cook(Fisher(losses=("span-l1",)), Judge([FISHERS[0], nothing]))
    assert str(error.value) == (
        "a soup cannot be made: the Fisher information of seed 1 is 0 in all, so it weighs nothing. "
        "Check the losses that it is taken of: span-l1."
    )


def test_a_floor_of_nothing_is_refused():
    with pytest.raises(ValidationError) as error:
        Fisher(floor=0)
    assert "Input should be greater than 0, not 0." in str(error.value)
    never = [{**fisher, "b": torch.zeros(3, dtype=torch.float64)} for fisher in FISHERS]
    found = cook(Fisher(), Judge(never)).weights["b"]
    assert found.isfinite().all(), "what no seed has information about is a mean all the same"


def test_the_best_single_is_the_one_that_scores_best():
    found = Best().build()(seeds(), Judge())["best single"]
    assert found.weights is MODELS[0]
    assert (found.kind, found.ingredients, found.note) == ("single", ["seed 0"], "it is seed 0")


def test_last_epochs_are_members_of_their_own():
    found = Last().build()(seeds(MODELS[:2]), Judge())
    assert list(found) == ["seed 0, last epoch", "seed 1, last epoch"]
    assert {each.kind for each in found.values()} == {"single"}
    assert torch.equal(found["seed 1, last epoch"].weights["w"], 10 * MODELS[1]["w"])


@pytest.mark.parametrize("part", [Uniform(ingredient="last"), Fisher(ingredient="last")])
def test_a_soup_of_last_epochs_says_so(part):
    (name,) = part.build()(seeds(), Judge(FISHERS))
    assert name == f"{part.use} soup of last epochs"
    last = [{name: 10 * each for name, each in model.items()} for model in MODELS]
    best = type(part)()
    wanted = cook(best, Judge(FISHERS), last).weights
    found = cook(part, Judge(FISHERS)).weights
    assert all(torch.equal(found[each], wanted[each]) for each in wanted)


def test_several_soups_stand_one_after_another():
    found = Several(of=(Best(), Uniform(), Fisher(), Uniform(ingredient="last"))).build()(
        seeds(), Judge(FISHERS)
    )
    assert list(found) == ["best single", "uniform soup", "fisher soup", "uniform soup of last epochs"]
    same(found["uniform soup"].weights, GOLDEN["uniform"])


@pytest.mark.parametrize(
    ("soups", "names"),
    [
        (
            (Fisher(), Fisher(norm=False), Fisher(norm=False, losses=("a", "b"), floor_of="one")),
            ["", " (norm: false)", " (losses: [a, b], floor_of: one, norm: false)"],
        ),
        (
            (Fisher(norm=False, floor=1e-3), Uniform(), Fisher(norm=False)),
            [" (floor: 0.001)", None, ""],
        ),
        (
            (Fisher(ingredient="last"), Fisher(), Fisher(ingredient="last", floor=0.5)),
            [" of last epochs", "", " of last epochs (floor: 0.5)"],
        ),
    ],
)
def test_soups_of_one_name_are_told_apart_by_their_options(soups, names):
    found = Several(of=soups).build()(seeds(), Judge(FISHERS * 3))
    assert list(found) == ["uniform soup" if name is None else f"fisher soup{name}" for name in names]
    alone = [cook(part, Judge(FISHERS)).weights for part in soups]
    for mixture, wanted in zip(found.values(), alone, strict=True):
        assert all(torch.equal(mixture.weights[name], each) for name, each in wanted.items())


class Stranger(SoupPart):
    """A soup whose member has the name of another."""

    use = "stranger"

    def build(self) -> Soup:
        return lambda candidates, judge: {"uniform soup": SoupResult(candidates[0].best(), {})}


def test_two_members_of_one_name_are_refused():
    part = Several(of=(Uniform(), Stranger()))
    with pytest.raises(RecipeError, match="soup: two of this list give a member 'uniform soup'; keep one"):
        part.build()(seeds(), Judge())
    with pytest.raises(ValidationError, match="'best' stands twice in this list with the same options"):
        Several(of=(Best(), Uniform(), Best()))


# ---------------------------------------------------------------- all kinds


@pytest.mark.parametrize("part", [Uniform(), Greedy(ties=True), Fisher()], ids=lambda part: part.use)
def test_a_soup_of_equal_models_is_the_model(part):
    models = [MODELS[0]] * 3
    found = cook(part, Judge(FISHERS[:3]), models).weights
    for name, each in MODELS[0].items():
        assert_close(found[name], each, rtol=1e-12, atol=0)


@pytest.mark.parametrize("part", [Uniform(), Fisher()], ids=lambda part: part.use)
def test_the_order_of_the_seeds_does_not_matter(part):
    order = [2, 0, 3, 1]
    plain = cook(part, Judge(FISHERS)).weights
    other = cook(part, Judge([FISHERS[at] for at in order]), [MODELS[at] for at in order]).weights
    for name, each in plain.items():
        assert_close(other[name], each, rtol=1e-12, atol=0)


def test_a_linear_soup_predicts_the_mean_of_predictions():
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    soup = cook(Uniform()).weights
    each = torch.stack([x @ model["w"].T for model in MODELS])
    assert_close(x @ soup["w"].T, each.mean(0))


def test_numbers_keep_their_kind_and_are_summed_in_double():
    models = [{"w": torch.tensor([1e8 + 8 * at, 0.1], dtype=torch.float32)} for at in range(3)]
    found = cook(Uniform(), models=models).weights
    assert found["w"].dtype == torch.float32
    assert found["w"].tolist() == [1e8 + 8, pytest.approx(0.1)]


def with_fixed(*values: Tensor) -> list[Weights]:
    return [{**MODELS[0], "fixed": each} for each in values]


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
def test_what_is_not_trained_must_agree(part, values):
    judge = Judge(FISHERS, fixed=("fixed",))
    with pytest.raises(RunError) as error:
        cook(part, judge, with_fixed(*values))
    assert str(error.value) == (
        "a soup cannot be made: seed 0 and seed 1 disagree in 'fixed', which training does not move, so "
        "their weights mean different things. Let it not depend on the seed of the run, or choose "
        "'soup: none'."
    )


def test_what_is_not_trained_is_kept_bit_by_bit():
    values = (torch.tensor([1 / 3]), torch.tensor([1 / 3 + 1e-8]))
    found = cook(Uniform(), Judge(fixed=("fixed",)), with_fixed(*values))
    assert torch.equal(found.weights["fixed"], values[0])
    numbers = (torch.tensor(9), torch.tensor(9))
    found = cook(Fisher(), Judge(FISHERS, fixed=("fixed",)), with_fixed(*numbers))
    assert found.weights["fixed"].item() == 9


@pytest.mark.parametrize("part", list(amrbench_parts()), ids=lambda part: part.use)
def test_parts_keep_the_contract(part):
    registry = Registry.of(*amrbench_parts())
    check_part(part.model_validate(dict(part.example), context=registry), registry)


class Bowl(Strict):
    """Holds a soup."""

    soup: SoupPart


def test_a_list_tells_which_losses_its_soups_read():
    listed = {"use": "several", "of": ["best", {"use": "fisher", "losses": ["a", "b"]}]}
    bowl = Bowl.model_validate({"soup": listed}, context=Registry.of(*amrbench_parts()))
    assert bowl.soup.losses_read == {"a", "b"}
    assert Uniform().losses_read == frozenset()
