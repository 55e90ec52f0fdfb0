import pytest
import torch
from torch import nn

from amrbench.config.recipe import Recipe
from amrbench.errors import PluginError
from amrbench.testing.small_data import make_batch, make_target
from amrbench.training.criterion import Criterion, build_criterion
from amrbench.types import BuildContext, Encoded, FeatureWidths
from tests.small_world.parts import RECIPE, REGISTRY

BATCH = make_batch()
TARGET = make_target(BATCH)


class Recorder(nn.Module):
    """A model that keeps the views it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def encode(self, batch, views=()):
        self.requested = views
        return Encoded(
            state=None, tensors={"a": self.weight}, views={view: {"a": -self.weight} for view in views}
        )

    def decode(self, encoded):
        return {"b": self.weight**2}


class Terms(nn.Module):
    """Gives the terms that a function makes of the outcome."""

    def __init__(self, terms) -> None:
        super().__init__()
        self.terms = terms

    def forward(self, outcome):
        self.outcome = outcome
        return self.terms(outcome)


def matched(tensors, target):
    assert not torch.is_grad_enabled(), "matching needs no gradient"
    assert tensors.keys() == {"a", "b"}
    return torch.zeros(3, 4, 2, dtype=torch.long)


def criterion(**losses) -> Criterion:
    modules = {name: Terms(terms) for name, terms in losses.items()}
    return Criterion(Recorder(), matched, modules, frozenset({"rolled"}))


def test_the_total_is_the_sum_of_all_terms():
    module = criterion(
        one=lambda outcome: {"x": outcome.tensors["a"], "layers": torch.stack([outcome.tensors["b"]] * 3)},
        two=lambda outcome: {"view": 10 * outcome.views["rolled"]["a"]},
    )
    losses = module(BATCH, TARGET)
    assert {name: value.item() for name, value in losses.terms.items()} == {"x": 2, "layers": 12, "view": -20}
    assert losses.total.item() == -6
    losses.total.backward()
    assert module.model.weight.grad.item() == 1 + 3 * 4 - 10
    assert not any(value.requires_grad for value in losses.terms.values())


def test_losses_get_batch_target_matches_and_the_views_that_they_need():
    module = criterion(one=lambda outcome: {"x": outcome.tensors["a"]})
    module(BATCH, TARGET)
    outcome = module.losses["one"].outcome
    assert module.model.requested == {"rolled"}
    assert outcome.batch is BATCH
    assert outcome.target is TARGET
    assert outcome.matched.shape == (3, 4, 2)


def test_two_losses_with_one_term_are_refused():
    same = {name: lambda outcome: {"x": outcome.tensors["a"]} for name in ("one", "two")}
    with pytest.raises(PluginError, match="the loss 'two' gives a term 'x', which another loss"):
        criterion(**same)(BATCH, TARGET)


def build(seed: int = 0, **training) -> Criterion:
    content = RECIPE | {"features": "one-hot", "training": RECIPE["training"] | training}
    recipe = Recipe.model_validate(content, context=REGISTRY)
    return build_criterion(recipe, BuildContext(FeatureWidths(4, 4), seed=seed))


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    first = build()
    torch.manual_seed(6)
    assert torch.equal(first.model.audio.weight, build().model.audio.weight)
    assert not torch.equal(first.model.audio.weight, build(seed=1).model.audio.weight)


def test_exchanging_a_loss_does_not_reshuffle_the_model():
    assert torch.equal(build().model.audio.weight, build(losses=["spans"]).model.audio.weight)


def test_weights_of_losses_belong_to_the_criterion():
    assert "losses.frames.offset" in dict(build().named_parameters())
