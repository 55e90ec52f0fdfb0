"""The shipped recipes give the recorded numbers."""

import json

import pytest

from tests.golden.numbers import FILE, numbers


@pytest.mark.filterwarnings("ignore::amrbench.notes.Note")  # So few steps do not always beat the baselines.
def test_recipes_give_the_recorded_numbers(tmp_path):
    now, recorded = numbers(tmp_path), json.loads(FILE.read_text())
    if now["processor"] == recorded["processor"]:
        assert exact(now) == exact(recorded)
    # Other processors round differently, and training makes small differences larger.
    assert norms(now) == pytest.approx(norms(recorded), rel=1e-3)


def exact(recorded):
    """Hashes and metrics; norms are sums in the order of the tensors' names, which play no part."""
    hashes = {
        (recipe, name): tensors["sha256"]
        for recipe, results in recorded["recipes"].items()
        for name, tensors in {**results["stages"], **results["soups"]}.items()
    }
    return hashes, {recipe: results["metrics"] for recipe, results in recorded["recipes"].items()}


def norms(recorded):
    return {
        (recipe, name): tensors["norm"]
        for recipe, results in recorded["recipes"].items()
        for name, tensors in {**results["stages"], **results["soups"]}.items()
    }
