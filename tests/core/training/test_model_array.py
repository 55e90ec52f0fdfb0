"""Losses and gradients of an array of models, against those of each model alone."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from amrbench.testing.small_data import make_batch, make_target, pad_batch, pad_target
from amrbench.training.criterion import Criterion
from amrbench.training.model_array import CriterionArray, one, stack
from amrbench.types import Encoded


class Tiny(nn.Module):
    """Weighs the mean of the audio; counts its calls, and has two names for one weight."""

    def __init__(self, seed: int, dropout: float = 0.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(12, generator=generator))
        self.tied = self.weight
        self.scale = nn.Parameter(torch.randn((), generator=generator))
        self.frozen = nn.Parameter(torch.randn(3, generator=generator), requires_grad=False)
        self.register_buffer("calls", torch.tensor(0))
        self.dropout = nn.Dropout(dropout)

    def encode(self, batch, views=()):
        self.calls += 1
        rows = self.dropout(batch.audio).sum(1) / batch.audio_mask.sum(1, keepdim=True)
        return Encoded(None, {"x": rows @ self.weight + (rows @ self.tied) * self.scale})

    def decode(self, encoded):
        return {}


class Square(nn.Module):
    """The mean square of what the model gives."""

    def forward(self, outcome):
        return {
            "square": outcome.tensors["x"].square().mean(),
            "relevant": outcome.target.relevant.sum() * 0.1,
        }


def no_matches(tensors, target):
    return torch.full((1, *target.spans_mask.shape), -1)


def criterion(seed: int = 0, *, model: nn.Module | None = None, loss: nn.Module | None = None, **options):
    return Criterion(model or Tiny(seed, **options), no_matches, {"square": loss or Square()})


def data(seed: int = 0):
    """Return a batch and its target, whose sizes differ between seeds."""
    batch = make_batch(frames=(14 - seed, 9), words=(5, 3))
    torch.manual_seed(seed)
    noise = torch.randn_like(batch.audio) * batch.audio_mask[..., None]
    return type(batch)(**vars(batch) | {"audio": batch.audio + noise}), make_target(batch)


def stacked(*seeds: int):
    batches, targets = zip(*map(data, seeds), strict=True)
    return stack(batches), stack(targets)


def test_stacked_batches_are_padded_to_common_sizes():
    batch, target = stacked(0, 1, 2)
    assert batch.audio.shape == (3, 2, 14, 12)
    for seed in range(3):
        own_batch, own_target = data(seed)
        for own, expected in (
            (one(batch, seed), pad_batch(own_batch, frames=seed)),
            (one(target, seed), pad_target(own_target, frames=seed)),
        ):
            assert all(torch.equal(value, vars(expected)[name]) for name, value in vars(own).items())


def test_losses_and_gradients_are_those_of_each_model_alone():
    array = CriterionArray([criterion(seed) for seed in range(3)]).train()
    losses = array(*stacked(0, 1, 2))
    losses.total.sum().backward()
    gradients = dict(array.named_parameters())
    assert losses.total.shape == (3,)
    for seed in range(3):
        alone = criterion(seed).train()
        expected = alone(*data(seed))
        expected.total.backward()
        assert_close(losses.total[seed], expected.total)
        for name, value in expected.terms.items():
            assert_close(losses.terms[name][seed], value)
        for name, weight in alone.named_parameters():
            if weight.requires_grad:
                assert_close(gradients[name].grad[seed], weight.grad)
    assert array.model.calls.tolist() == [1, 1, 1], "a buffer of each model"


def test_a_model_shares_its_tensors_with_the_array():
    own = [criterion(seed) for seed in range(3)]
    array = CriterionArray(own)
    assert list(dict(array.named_parameters())) == list(dict(own[0].named_parameters()))
    assert torch.equal(array.model.weight[1], criterion(1).model.weight)
    with torch.no_grad():
        array.model.weight[1] = 7
        own[2].model.scale.fill_(9)
    assert own[1].model.weight.eq(7).all()
    assert own[1].model.tied is own[1].model.weight
    assert array.model.scale[2] == 9
    assert not array.model.frozen.requires_grad


def test_each_model_has_dropout_masks_of_its_own():
    batch, target = stacked(0, 0)
    array = CriterionArray([criterion(dropout=0.5), criterion(dropout=0.5)])
    first, second = array.train()(batch, target).total
    assert first != second
    first, second = array.eval()(batch, target).total
    assert first == second


def test_models_that_can_be_trained_at_once_have_no_fault_and_stay_as_they_are():
    array = CriterionArray([criterion(seed, dropout=0.5) for seed in range(2)])
    batch, target = stacked(0, 1)
    before = torch.get_rng_state()
    assert array.fault(batch, target) == ""
    assert torch.equal(torch.get_rng_state(), before)
    assert array.model.calls.tolist() == [0, 0]
    assert array.model.weight.grad is None


class Chosen(nn.Module):
    """Picks real frames, so that the shape of a tensor depends on numbers."""

    def forward(self, outcome):
        return {"chosen": outcome.batch.audio[outcome.batch.audio_mask].mean()}


class Hidden(Tiny):
    """Has a tensor that is neither a parameter nor a buffer."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.factor = torch.tensor(float(seed))

    def encode(self, batch, views=()):
        return Encoded(None, {"x": super().encode(batch).tensors["x"] * self.factor})


@pytest.mark.parametrize(
    ("criteria", "fault"),
    [
        ([criterion(seed, loss=Chosen()) for seed in range(2)], "RuntimeError: vmap: "),
        ([criterion(model=Hidden(seed)) for seed in (1, 2)], "their losses are ["),
    ],
)
def test_why_models_cannot_be_trained_at_once_is_said(criteria, fault):
    text = CriterionArray(criteria).fault(*stacked(0, 1))
    assert text.startswith(fault)
    assert "\n" not in text
