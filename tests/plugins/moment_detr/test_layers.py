"""Shared layers, each compared with a plain implementation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from amrbench_plugins.moment_detr.layers import (
    BlockLinear,
    EncoderLayer,
    FeedForward,
    Perceptron,
    PReLU,
    SelfAttention,
    StochasticDepth,
    attention,
    attention_weights,
    bias_of,
    keep_weights,
    merge_heads,
    split_heads,
    xavier,
)

WIDTH, HEADS = 8, 2


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def encoder_layer(p: float = 0.0) -> EncoderLayer:
    feedforward = FeedForward(WIDTH, 12, p, PReLU())
    return EncoderLayer(SelfAttention(WIDTH, HEADS, p), feedforward, StochasticDepth(p)).eval()


# ---------------------------------------------------------------- arrays of models


def of_array(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return what a function gives for each model of an array."""
    return torch.vmap(function, randomness="different")(x)


@pytest.mark.parametrize("training", [False, True])
def test_attention_of_an_array_is_that_of_each_model(*, training: bool) -> None:
    query, key, value = (torch.randn(3, 2, HEADS, n, 4) for n in (3, 5, 5))
    visible = torch.rand(3, 2, 1, 1, 5) > 0.4
    visible[..., 0] = True

    def attend(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
        bias = bias_of(visible, torch.float32)
        return attention(query, key, value, bias, p=0.0 if training else 0.5, training=training)

    alone = [attend(*own) for own in zip(query, key, value, visible, strict=True)]
    assert_close(torch.vmap(attend)(query, key, value, visible), torch.stack(alone))


# ---------------------------------------------------------------- attention


def test_fused_attention_equals_the_formula() -> None:
    query, key, value = (torch.randn(2, HEADS, n, 4) for n in (3, 5, 5))
    visible = torch.rand(2, 1, 3, 5) > 0.4
    visible[..., 0] = True
    bias = bias_of(visible, torch.float32)
    fused = attention(query, key, value, bias, p=0.5, training=False)
    assert_close(fused, merge_heads(attention_weights(query, key, bias) @ value))


def test_dropout_keeps_the_mean_of_attention() -> None:
    query, key, value = (torch.randn(1, 1, n, 4).expand(20000, -1, -1, -1) for n in (1, 5, 5))
    plain = attention(query[:1], key[:1], value[:1], None, p=0.0, training=True)
    dropped = attention(query, key, value, None, p=0.3, training=True)
    assert not dropped[0].equal(dropped[1])
    assert_close(dropped.mean(0), plain[0], atol=0.03, rtol=0)


def test_hidden_keys_have_no_weight() -> None:
    visible = torch.tensor([True, False, True])
    bias = bias_of(visible[None, None, None], torch.float32)
    weights = attention_weights(torch.randn(2, 1, 4, 6), torch.randn(2, 1, 3, 6), bias)
    assert float(weights[..., 1].abs().max()) == 0
    assert_close(weights.sum(-1), torch.ones(2, 1, 4))


def test_heads_split_and_merge() -> None:
    x = torch.randn(2, 3, 8)
    assert split_heads(x, 4).shape == (2, 4, 3, 2)
    assert merge_heads(split_heads(x, 4)).equal(x)


def test_an_encoder_layer_equals_that_of_torch() -> None:
    ours = encoder_layer()
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.attention.qkv.weight,
            "in_proj_bias": ours.attention.qkv.bias,
            "out_proj.weight": ours.attention.out.weight,
            "out_proj.bias": ours.attention.out.bias,
        }
    )
    x, positions = torch.randn(2, 5, WIDTH), torch.randn(2, 5, WIDTH)
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    attended = theirs(x + positions, x + positions, x, key_padding_mask=~mask)[0]
    middle = F.layer_norm(x + attended, (WIDTH,))
    up, down = ours.feedforward.up, ours.feedforward.down
    expected = F.layer_norm(middle + down(F.prelu(up(middle), torch.tensor([0.25]))), (WIDTH,))
    rows = ours(x, positions, bias_of(mask[:, None, None], x.dtype))
    assert_close(rows, expected, atol=1e-5, rtol=0)


def test_the_first_rows_alone_equal_those_of_all() -> None:
    layer, x, positions = encoder_layer(), torch.randn(2, 5, WIDTH), torch.randn(2, 5, WIDTH)
    visible = torch.rand(2, 1, 1, 5) > 0.3
    visible[..., 0] = True
    bias = bias_of(visible, x.dtype)
    assert_close(layer(x, positions, bias, first=2), layer(x, positions, bias)[:, :2], atol=1e-6, rtol=0)


# ---------------------------------------------------------------- weights


def test_each_block_is_drawn_on_its_own() -> None:
    layer = BlockLinear(64, 64, 3)
    before = layer.bias.detach().clone()
    xavier(nn.Sequential(layer))
    bound = (6 / 128) ** 0.5
    for block in layer.weight.detach().chunk(3):
        assert 0.95 * bound < float(block.abs().max()) <= bound
    assert layer.bias.equal(before)


def test_stacked_projections_are_drawn_together() -> None:
    layer = nn.Linear(64, 192)
    xavier(layer)
    assert 0.95 * (6 / 256) ** 0.5 < float(layer.weight.detach().abs().max()) <= (6 / 256) ** 0.5


def test_keep_weights_changes_nothing() -> None:
    layer = nn.Linear(3, 3)
    before = layer.weight.detach().clone()
    keep_weights(layer)
    assert layer.weight.equal(before)


def test_a_perceptron_has_no_activation_at_its_end() -> None:
    perceptron = Perceptron((4, 6, 5, 2), nn.ReLU)
    x = torch.randn(3, 4)
    first, second, third = perceptron.linears
    assert perceptron(x).equal(third(second(first(x).relu()).relu()))
    assert perceptron.last is third
