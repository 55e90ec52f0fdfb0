import pytest
import torch

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.errors import RecipeError
from amrbench.tools.check_recipe import check_recipe, noise_source
from amrbench.types import FeatureWidths
from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY, SpansLoss, ToyModel


def checked(**changes):
    recipe = Recipe.model_validate(RECIPE | changes, context=REGISTRY)
    return check_recipe("toy", recipe, Protocol.model_validate(PROTOCOL, context=REGISTRY))


def refusal(**changes) -> str:
    with pytest.raises(RecipeError) as error:
        checked(**changes)
    return str(error.value)


def test_the_text_of_a_recipe_that_works_has_its_size_and_stand_ins():
    text = checked().text()
    assert text.startswith("toy: fine under tiny, ")
    assert text.endswith("; one-hot stands in for absent")


def test_parts_that_do_not_work_together_are_refused(monkeypatch):
    def broken(self, outcome):
        return torch.zeros(2) @ torch.zeros(3)

    monkeypatch.setattr(SpansLoss, "forward", broken)
    text = refusal()
    assert text.startswith(
        "toy: the parts are well-formed, but one batch does not pass through them: RuntimeError: "
    )
    assert text.endswith("Replace parts by those of recipes/cgdetr.yaml to find which one fails.")


def test_a_loss_that_is_not_finite_is_refused():
    losses = ["frames", {"use": "failing", "kind": "nan", "after": 0}]
    text = refusal(training=RECIPE["training"] | {"losses": losses})
    assert text == "toy: the loss term 'failing' is not finite on the first batch."


def test_a_prediction_that_is_not_finite_is_refused(monkeypatch):
    build = ToyModel.build

    def broken(self, context):
        model = build(self, context)
        decode = model.decode

        def not_a_number(encoded):
            prediction = decode(encoded)
            prediction.spans.fill_(float("nan"))
            return prediction

        # Not while training, where the loss of the spans would be refused first.
        model.decode = lambda encoded: decode(encoded) if model.training else not_a_number(encoded)
        return model

    monkeypatch.setattr(ToyModel, "build", broken)
    assert refusal().startswith("toy: after one step the model predicts [nan, nan].")


def test_fresh_weights_that_the_model_does_not_have_are_refused():
    stages = [RECIPE["stages"][0], RECIPE["stages"][1] | {"fresh": ["sise"]}]
    assert "names 'sise', where the model has no weights. Did you mean 'size'?" in refusal(stages=stages)


def test_noise_needs_no_data_and_has_the_widths_of_the_encoder():
    source = noise_source(FeatureWidths(audio=5, text=4), hop=0.5)
    assert [source.audio(query.vid).shape for query in source.queries] == [(48, 5), (34, 5), (18, 5)]
    assert [source.text(query).shape for query in source.queries] == [(6, 4), (1, 4), (3, 4)]
