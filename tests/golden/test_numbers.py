"""The shipped recipes give the numbers that were recorded before the code was rearranged."""

import json

import pytest

from tests.golden.numbers import FILE, numbers


def test_recipes_give_the_recorded_numbers(tmp_path):
    now, recorded = numbers(tmp_path), json.loads(FILE.read_text())
    if now["processor"] == recorded["processor"]:
        assert now == recorded
    # Other processors round differently, and training makes small differences larger.
    assert norms(now) == pytest.approx(norms(recorded), rel=1e-3)


def norms(found):
    return {
        (recipe, name): tensors["norm"]
        for recipe, numbers_of in found["recipes"].items()
        for name, tensors in {**numbers_of["stages"], **numbers_of["soups"]}.items()
    }
