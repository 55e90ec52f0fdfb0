from pathlib import Path

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.tools.check_recipe import check_recipe
from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY


def checked(**changes):
    recipe = Recipe.model_validate(RECIPE | changes, context=REGISTRY)
    protocol = Protocol.model_validate(PROTOCOL, context=REGISTRY)
    return check_recipe("toy", recipe, protocol, Path("tiny.yaml"))


def test_the_text_of_a_recipe_that_works_has_its_size_and_stand_ins():
    text = checked().text()
    assert text.startswith("toy: fine under tiny, ")
    assert text.endswith("; one-hot stands in for absent")
