"""What `amrbench check`, `run` and `run --dry-run` refuse before any data is made."""

import pytest
import torch

from amrbench.errors import PluginError, RecipeError, RunError
from amrbench.training import noise_step
from amrbench.training.noise_step import noise_source, step_on_noise
from amrbench.types import FeatureWidths, Proposals
from tests.small_world.parts import RECIPE, Descent, MeanWidth, Similar, SpansLoss, ToyModel
from tests.small_world.runs import request_of


def refusal(**changes) -> str:
    with pytest.raises(RecipeError) as error:
        step_on_noise(request_of(RECIPE | changes).splits)
    return str(error.value)


def test_parts_that_do_not_work_together_are_refused(monkeypatch):
    monkeypatch.setattr(noise_step, "read", len)
    text = refusal()
    assert text.startswith(
        "toy: the parts are well-formed, but one batch does not pass through them: TypeError: len() takes "
    )
    assert "Parts of third parties in it: " in text


def test_a_part_of_a_third_party_that_fails_is_named(monkeypatch):
    def broken(self, outcome):
        return torch.zeros(2) @ torch.zeros(3)

    monkeypatch.setattr(SpansLoss, "forward", broken)
    with pytest.raises(
        PluginError, match=r"^the loss part 'spans' \(training.losses.1 of toy\) fails: Runtime"
    ):
        step_on_noise(request_of(RECIPE).splits)


def test_a_batch_that_does_not_fit_into_memory_is_refused(monkeypatch):
    def hungry(*arguments, **options):
        return torch.empty(2**50)

    monkeypatch.setattr(noise_step, "read", hungry)
    with pytest.raises(RunError) as error:
        step_on_noise(request_of(RECIPE).splits)
    assert str(error.value) == (
        "toy: out of memory: 4.00 PiB could not be had. One batch of three queries does not fit: lower the "
        "widths, layers and counts of its parts."
    )


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
            return {name: tensor * float("nan") for name, tensor in decode(encoded).items()}

        # Not while training, where the loss of the spans would be refused first.
        model.decode = lambda encoded: decode(encoded) if model.training else not_a_number(encoded)
        return model

    monkeypatch.setattr(ToyModel, "build", broken)
    assert refusal().startswith("toy: after one step the model predicts [nan, nan].")


def test_all_readouts_and_ranking_steps_are_tried(monkeypatch):
    seen = {}
    monkeypatch.setattr(MeanWidth, "fit", lambda self, own: seen.setdefault("examples", own) and {"width": 1})
    fit = Similar.fit
    monkeypatch.setattr(
        Similar, "fit", lambda self, widths: seen.setdefault("widths", widths) and fit(self, widths)
    )
    training = RECIPE["training"] | {"readouts": ["span", "second"]}
    request = request_of(RECIPE | {"training": training, "ranking": ["cut", "mean-width"]})
    assert step_on_noise(request.splits)
    assert len(seen["widths"]) >= 3
    assert len(seen["examples"]) == 3 * noise_step.COPIES, "so that a step has enough to learn from"
    assert all(query.windows for _, query in seen["examples"])


def test_a_readout_of_training_that_predicts_no_numbers_is_refused(monkeypatch):
    def broken(self, fitted):
        return lambda outputs: Proposals(outputs.tensors["span"] * torch.nan, outputs.tensors["score"])

    monkeypatch.setattr(Similar, "build", broken)
    training = RECIPE["training"] | {"readouts": ["span", "second"]}
    assert refusal(training=training).startswith("toy: after one step the model predicts [nan, nan].")


def test_fresh_weights_that_the_model_does_not_have_are_refused():
    stages = [RECIPE["stages"][0], RECIPE["stages"][1] | {"fresh": ["sise"]}]
    assert "names 'sise', where the model has no weights. Did you mean 'size'?" in refusal(stages=stages)


def test_the_optimizer_of_each_stage_is_built(monkeypatch):
    rates = []
    build = Descent.build

    def noted(self, module, length):
        rates.append(self.lr)
        return build(self, module, length)

    monkeypatch.setattr(Descent, "build", noted)
    stages = [RECIPE["stages"][0] | {"lr": 0.25}, RECIPE["stages"][1]]
    assert step_on_noise(request_of(RECIPE | {"stages": stages}).splits)
    assert rates == [0.25, 0.05]


def test_noise_needs_no_data_and_has_the_widths_of_the_encoder():
    source = noise_source(FeatureWidths(audio=5, text=4), hop=0.5)
    assert [source.audio(query.vid).shape for query in source.queries] == [(48, 5), (34, 5), (18, 5)]
    assert [source.text(query).shape for query in source.queries] == [(6, 4), (1, 4), (3, 4)]


@pytest.mark.parametrize("frames", [1, 3, 10])
def test_limits_may_cut_windows_of_the_noise(frames):
    assert step_on_noise(request_of(RECIPE | {"limits": {"frames": frames}}).splits)


@pytest.mark.parametrize(
    ("provides", "text"),
    [
        (
            {"similarity": "B T", "span": "B Q 3", "score": "B Q"},
            "'span' has shape (3, 1, 2), but its axes are 'B Q 3': axis 2",
        ),
        ({"similarity": "B T", "score": "B Q"}, "it returns span, but `provides` does not list them."),
        (
            {"similarity": "B T", "span": "B Q 2", "score": "B Q", "more": "B"},
            "`provides` lists more, but it does not return them.",
        ),
    ],
)
def test_a_model_that_provides_other_tensors_than_it_declares_is_named(monkeypatch, provides, text):
    monkeypatch.setattr(ToyModel, "provides", property(lambda self: provides))
    training = RECIPE["training"] | {"losses": ["frames"], "readouts": ["second"]}
    with pytest.raises(PluginError) as error:
        step_on_noise(request_of(RECIPE | {"training": training, "readout": "second"}).splits)
    assert str(error.value).startswith(f"the model part 'toy' (model of toy) fails: {text}")
