"""Single models that soups are compared with."""

import torch

from amrbench_plugins.soups.parts import BestSingle, LastEpochs, NoSoup
from tests.plugins.soups.candidates import MODELS, Scorer, seeds


def test_no_soup_makes_no_model():
    assert NoSoup().build()(seeds(), Scorer()) == {}


def test_the_best_single_is_the_one_that_scores_best():
    best = BestSingle().build()(seeds(), Scorer())["best single"]
    assert best.weights is MODELS[0]
    assert (best.kind, best.ingredients, best.note) == ("single", ["seed 0"], "it is seed 0")


def test_last_epochs_are_models_of_their_own():
    models = LastEpochs().build()(seeds(MODELS[:2]), Scorer())
    assert list(models) == ["seed 0, last epoch", "seed 1, last epoch"]
    assert {model.kind for model in models.values()} == {"single"}
    assert all(model.about == {"soup": "last", "epoch": "last"} for model in models.values())
    assert torch.equal(models["seed 1, last epoch"].weights["w"], 10 * MODELS[1]["w"])
