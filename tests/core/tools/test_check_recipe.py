import pytest
import torch

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.errors import RecipeError
from amrbench.tools.check_recipe import check_recipe
from tests.core.world import PROTOCOL, RECIPE, REGISTRY, SpansLoss, ToyModel


def checked(**changes):
    recipe = Recipe.model_validate(RECIPE | changes, context=REGISTRY)
    return check_recipe("toy", recipe, Protocol.model_validate(PROTOCOL, context=REGISTRY))


def refused(**changes) -> str:
    with pytest.raises(RecipeError) as error:
        checked(**changes)
    return str(error.value)


def test_a_recipe_that_works_is_told_with_its_size():
    text = checked().text()
    assert text.startswith("toy: fine under tiny, ")
    assert text.endswith("; one-hot stands in for wished")


def test_parts_that_do_not_fit_each_other_are_told(monkeypatch):
    def broken(self, outcome):
        return torch.zeros(2) @ torch.zeros(3)

    monkeypatch.setattr(SpansLoss, "forward", broken)
    text = refused()
    assert text.startswith(
        "toy: the parts are well-formed, but one batch does not pass through them: RuntimeError: "
    )
    assert text.endswith("Exchange parts for those of recipes/cgdetr.yaml to find which.")


def test_a_loss_that_is_no_number_is_told():
    losses = ["frames", {"use": "mishap", "kind": "nan", "after": 0}]
    text = refused(training=RECIPE["training"] | {"losses": losses})
    assert text == "toy: the loss term 'mishap' is not finite on the first batch."


def test_a_prediction_that_is_no_number_is_told(monkeypatch):
    build = ToyModel.build

    def broken(self, context):
        model = build(self, context)
        decode = model.decode

        def nowhere(encoded):
            found = decode(encoded)
            found.spans.fill_(float("nan"))
            return found

        # Training reads the same spans, so only what is predicted may be wrong.
        model.decode = lambda encoded: decode(encoded) if model.training else nowhere(encoded)
        return model

    monkeypatch.setattr(ToyModel, "build", broken)
    assert refused().startswith("toy: after one step the model predicts [nan, nan].")


def test_a_place_that_cannot_start_anew_is_told():
    stages = [RECIPE["stages"][0], RECIPE["stages"][1] | {"fresh": ["sise"]}]
    assert "names 'sise', where the model remembers nothing. Did you mean 'size'?" in refused(stages=stages)
