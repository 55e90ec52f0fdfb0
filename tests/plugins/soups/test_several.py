"""Several soups in one list, with a name for each model."""

import pytest
import torch
from pydantic import ValidationError

from amrbench.errors import RecipeError
from amrbench.part import Strict
from amrbench.registry import Registry
from amrbench.slots.soups import Soup, SoupPart, SoupResult
from amrbench_plugins.soups import amrbench_parts
from amrbench_plugins.soups.parts import BestSingle, Fisher, Several, Uniform
from tests.plugins.soups.candidates import FISHERS, GOLDEN, Scorer, assert_recorded, make, seeds


def test_several_soups_follow_each_other():
    parts = (BestSingle(), Uniform(), Fisher(), Uniform(ingredient="last"))
    models = Several(of=parts).build()(seeds(), Scorer(FISHERS))
    assert list(models) == ["best single", "uniform soup", "fisher soup", "uniform soup of last epochs"]
    assert_recorded(models["uniform soup"].weights, GOLDEN["uniform"])


@pytest.mark.parametrize(
    ("soups", "names"),
    [
        (
            (Fisher(), Fisher(floor=0.5), Fisher(losses=("a", "b"), floor=0.25)),
            ["", " (floor: 0.5)", " (losses: [a, b], floor: 0.25)"],
        ),
        (
            (Fisher(floor=0.5, losses=("a",)), Uniform(), Fisher(floor=0.5)),
            [" (losses: [a])", None, ""],
        ),
        (
            (Fisher(ingredient="last"), Fisher(), Fisher(ingredient="last", floor=0.5)),
            [" of last epochs", "", " of last epochs (floor: 0.5)"],
        ),
    ],
)
def test_soups_of_one_name_are_distinguished_by_their_options(soups, names):
    models = Several(of=soups).build()(seeds(), Scorer(FISHERS * 3))
    assert list(models) == ["uniform soup" if name is None else f"fisher soup{name}" for name in names]
    alone = [make(part, Scorer(FISHERS)).weights for part in soups]
    for model, expected in zip(models.values(), alone, strict=True):
        assert all(torch.equal(model.weights[name], value) for name, value in expected.items())


def test_a_long_name_stays_on_one_line():
    losses = tuple(letter * 40 for letter in "abc")
    models = Several(of=(Fisher(), Fisher(losses=losses))).build()(seeds(), Scorer(FISHERS * 2))
    assert list(models) == ["fisher soup", f"fisher soup (losses: [{', '.join(losses)}])"]


class SecondUniform(SoupPart):
    """A soup whose model has the name of another."""

    use = "second-uniform"

    def build(self) -> Soup:
        return lambda candidates, scorer: {"uniform soup": SoupResult(candidates[0].best(), {})}


def test_two_models_of_one_name_are_refused():
    part = Several(of=(Uniform(), SecondUniform()))
    with pytest.raises(
        RecipeError, match="soup: two soups of the list make a model 'uniform soup'; keep one"
    ):
        part.build()(seeds(), Scorer())


def test_a_soup_listed_twice_is_refused():
    with pytest.raises(ValidationError, match="'best' is listed twice; keep one"):
        Several(of=(BestSingle(), Uniform(), BestSingle()))
    with pytest.raises(ValidationError, match=r"'fisher \(floor: 0\.5\)' is listed twice; keep one"):
        Several(of=(Fisher(floor=0.5), Fisher(), Fisher(floor=0.5)))


class Training(Strict):
    """Holds a soup."""

    soup: SoupPart


def test_a_list_reads_the_losses_of_its_soups():
    listed = {"use": "several", "of": ["best", {"use": "fisher", "losses": ["a", "b"]}]}
    training = Training.model_validate({"soup": listed}, context=Registry.of(*amrbench_parts()))
    assert training.soup.losses_read == {"a", "b"}
    assert Uniform().losses_read == frozenset()
