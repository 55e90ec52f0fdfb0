"""The greedy soup equals the recorded one."""

import pytest
import torch

from amrbench_plugins.soups.greedy import best_first
from amrbench_plugins.soups.parts import Greedy
from tests.plugins.soups.candidates import GOLDEN, MODELS, Scorer, assert_recorded, make


def test_the_greedy_soup_equals_the_recorded_one():
    case, scorer = GOLDEN["greedy"], Scorer()
    soup = make(Greedy(), scorer)
    assert_recorded(soup.weights, case["soup"])
    assert soup.ingredients == [f"seed {index}" for index in case["ingredients"]]
    assert soup.note == f"{len(case['ingredients'])} of 4 seeds are in it"
    assert scorer.scores[:4] == pytest.approx(case["individual_scores"])
    assert scorer.scores[4:] == pytest.approx([trial["score"] for trial in case["trials"]])


def test_a_greedy_soup_of_last_epochs_scores_and_averages_these():
    last = [{name: 10 * value for name, value in model.items()} for model in MODELS]
    scorer, expected = Scorer(), Scorer()
    soup, plain = make(Greedy(ingredient="last"), scorer), make(Greedy(), expected, last)
    assert scorer.scores == expected.scores
    assert soup.ingredients == plain.ingredients
    assert all(torch.equal(soup.weights[name], value) for name, value in plain.weights.items())
    assert soup.about == {"soup": "greedy", "epoch": "last"}


def test_a_seed_that_changes_no_score_is_left_out():
    assert make(Greedy(), models=[MODELS[0], MODELS[0]]).ingredients == ["seed 0"]


def test_equal_scores_keep_their_order():
    assert best_first([0.1, 0.3, 0.1, 0.3]) == [1, 3, 0, 2]
