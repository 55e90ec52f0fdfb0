"""Sequences whose real rows follow each other, compared with padded batches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from amrbench.slots.blocks import Tokens
from amrbench_plugins.moment_detr import layers as layers_module
from amrbench_plugins.moment_detr.dropout import ElementDropout, ResidualSum
from amrbench_plugins.moment_detr.layers import (
    EncoderLayer,
    FeedForward,
    PReLU,
    SelfAttention,
    StochasticDepth,
    encode,
)
from amrbench_plugins.moment_detr.packing import Packing

WIDTH, HEADS = 8, 2
MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0]]).bool()
SIDES = torch.tensor([[0, 1, 0, 1], [1, 1, 1, 1], [0, 0, 1, 0]])


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def always_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers_module, "LONG", 1)


# ---------------------------------------------------------------- packing


def test_real_rows_follow_each_other() -> None:
    packing = Packing.of(MASK)
    assert packing.lengths == (3, 4, 2)
    assert packing.take(torch.arange(12)).tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 10]


def test_the_sides_of_a_sample_are_two_sequences() -> None:
    packing = Packing.of(MASK, SIDES)
    assert packing.lengths == (2, 1, 4, 1, 1)
    assert packing.take(torch.arange(12)).tolist() == [0, 2, 1, 4, 5, 6, 7, 8, 10]


def test_a_batch_without_padding_is_not_copied() -> None:
    x = torch.randn(6, 2)
    assert Packing.of(torch.ones(2, 3).bool()).take(x) is x


def test_rows_are_added_in_their_places() -> None:
    x = torch.zeros(4, 1)
    packing = Packing(torch.tensor([3, 1]), (1, 1))
    assert packing.add(x, torch.tensor([[1.0], [2.0]]), 0.5)[:, 0].tolist() == [0, 1, 0, 0.5]
    assert Packing(None, (4,)).add(x, torch.ones(4, 1), 3.0)[:, 0].tolist() == [3] * 4


def test_whole_sequences_are_dropped() -> None:
    packing, counts = Packing(None, (3, 1, 2)), torch.zeros(3)
    x = torch.tensor([0, 0, 0, 1, 2, 2])
    for _ in range(2000):
        kept = packing.drop(0.25)
        assert kept.take(x).tolist() == [
            number for number in range(3) if number in kept.take(x) for _ in range(packing.lengths[number])
        ]
        assert kept.lengths == tuple(kept.take(x).unique(return_counts=True)[1].tolist())
        counts += kept.take(x).bincount(minlength=3) / torch.tensor([3, 1, 2])
    assert_close(counts / 2000, torch.full((3,), 0.75), atol=0.05, rtol=0)


# ---------------------------------------------------------------- encoder layers


def stack(p: float, residual_sum: type[ResidualSum] = StochasticDepth) -> nn.ModuleList:
    built = [
        EncoderLayer(SelfAttention(WIDTH, HEADS, p), FeedForward(WIDTH, 12, p, PReLU()), residual_sum(p))
        for _ in range(2)
    ]
    return nn.ModuleList(built).double()


def tokens(mask: Tensor = MASK) -> Tokens:
    x, positions = torch.randn(2, *mask.shape, WIDTH, dtype=torch.float64, requires_grad=True)
    return Tokens(x, positions, mask)


@pytest.mark.parametrize("least", ["LONG", "LARGE"])
@pytest.mark.parametrize(
    ("mask", "sides"),
    [(MASK, None), (MASK, SIDES), (MASK[:, [0, 0]], None)],
    ids=["one side", "two sides", "same lengths"],
)
def test_packed_rows_equal_those_of_a_padded_batch(
    monkeypatch: pytest.MonkeyPatch, mask: Tensor, sides: Tensor | None, least: str
) -> None:
    layers, given = stack(0.0), tokens(mask)
    wanted = [given.features, given.positions, *layers.parameters()]
    gradient = torch.randn(*mask.shape, WIDTH, dtype=torch.float64) * mask[..., None]
    padded = encode(layers, given, sides=sides)
    monkeypatch.setattr(layers_module, least, 1)
    packed = encode(layers, given, sides=sides)
    assert_close(packed[mask], padded[mask])
    assert not packed[~mask].any()
    assert_close(torch.autograd.grad(packed, wanted, gradient), torch.autograd.grad(padded, wanted, gradient))


def test_large_batches_of_short_sequences_are_in_blocks_where_there_are_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.zeros(2, 3, WIDTH)
    assert not layers_module.in_blocks(x)
    monkeypatch.setattr(layers_module, "LARGE", x.numel())
    assert layers_module.in_blocks(x)
    assert not layers_module.in_blocks(x[:1])
    with torch.no_grad():
        assert not layers_module.in_blocks(x)


def test_packed_rows_of_a_batch_without_padding(always_long: None) -> None:
    layers, given = stack(0.0), tokens()
    whole = Tokens(given.features, given.positions, torch.ones_like(MASK))
    rows = encode(layers, whole)
    for index in range(3):
        some = slice(index, index + 1)
        alone = Tokens(given.features[some], given.positions[some], whole.mask[some])
        assert_close(encode(layers, alone), rows[some])


@pytest.mark.parametrize("residual_sum", [StochasticDepth, ElementDropout])
@pytest.mark.parametrize("sides", [None, SIDES], ids=["one side", "two sides"])
def test_gradients_of_packed_layers_with_dropout_equal_differences(
    always_long: None, sides: Tensor | None, residual_sum: type[ResidualSum]
) -> None:
    layers, given = stack(0.3, residual_sum), tokens()
    slopes = [layer.feedforward.activation.slope for layer in layers]

    def run(x: Tensor, positions: Tensor, *_: Tensor) -> Tensor:
        torch.manual_seed(5)
        return encode(layers, Tokens(x, positions, MASK), sides=sides)

    assert torch.autograd.gradcheck(run, (given.features, given.positions, *slopes))


def test_only_the_seed_decides_packed_layers(always_long: None) -> None:
    layers, given, draws = stack(0.3), tokens(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(encode(layers, given))
    assert draws[0].equal(draws[1])
    assert not draws[0].equal(draws[2])


def test_the_first_rows_of_a_long_sequence_are_those_of_all(always_long: None) -> None:
    layers, given = stack(0.0).eval(), tokens()
    assert_close(encode(layers, given, first=1), encode(layers, given)[:, :1])


@pytest.mark.parametrize("p", [0.0, 0.3])
def test_a_long_feedforward_equals_a_short_one_in_evaluation(
    monkeypatch: pytest.MonkeyPatch, p: float
) -> None:
    layer, x = FeedForward(WIDTH, 12, p, PReLU()).eval(), torch.randn(2, 4, WIDTH)
    short = layer(x)
    monkeypatch.setattr(layers_module, "LONG", 1)
    assert_close(layer(x), short)


def test_half_precision_is_computed_as_short_sequences_are(always_long: None) -> None:
    layer, x = FeedForward(WIDTH, 12, 0.0, PReLU()), torch.randn(2, 4, WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
