"""Attention and feed-forward in blocks, each compared with a plain implementation that has the same masks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.testing import assert_close

from amrbench_plugins.moment_detr import blocked_attention, blocked_feedforward
from amrbench_plugins.moment_detr.activations import PReLU
from amrbench_plugins.moment_detr.blocked_attention import packed_attention
from amrbench_plugins.moment_detr.masks import LEVELS, Masks
from amrbench_plugins.ours.swish import SwishModule

WIDTH, HEADS, HIDDEN = 8, 2, 12
LENGTHS = (5, 1, 7)
P = 0.3


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def numbers(seed: int, sizes: list[int]) -> list[NDArray[np.float64]]:
    """The numbers in [0, 1) of the masks that follow a seed, 16 bits each."""
    torch.manual_seed(seed)
    generator = np.random.SFC64(int(torch.randint(2**63 - 1, ())))
    words = [generator.random_raw((size + 3) // 4) for size in sizes]
    return [
        (drawn.view(np.int16)[:size].astype(float) + LEVELS // 2) / LEVELS
        for drawn, size in zip(words, sizes, strict=True)
    ]


# ---------------------------------------------------------------- masks


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_masks_drop_with_their_probability(p: float) -> None:
    masks, ones = Masks(p), torch.ones(401, 501)
    kept = masks.draw(ones.shape).apply(ones, torch.empty_like(ones))
    deviation = (p * (1 - p) / kept.numel()) ** 0.5
    assert float(kept.mean()) == pytest.approx(1 - p, abs=5 * deviation)
    assert masks.scale == pytest.approx(1 / (1 - p), rel=1e-4)


def test_masks_follow_the_seed_and_differ_from_each_other() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks = Masks(0.5)
        drawn.append([masks.draw((7, 13)).bits.tolist() for _ in range(2)])
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert drawn[0][0] != drawn[0][1]


def test_a_mask_can_overwrite_what_it_is_applied_to() -> None:
    mask, x = Masks(0.5).draw((3, 5)), torch.rand(3, 5) + 1
    elsewhere = mask.apply(x, torch.empty_like(x))
    assert mask.apply(x, x) is x
    assert x.equal(elsewhere)
    assert 0 < int((x == 0).sum()) < 15


# ---------------------------------------------------------------- attention


def plain_attention(query: Tensor, key: Tensor, value: Tensor, kept: list[Tensor]) -> Tensor:
    """One sequence and head after another; masks (H, n, n) hold 0 or the scale."""
    out, start = [], 0
    for length, mask in zip(LENGTHS, kept, strict=True):
        some = slice(start, start + length)
        heads = []
        for head in range(HEADS):
            columns = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
            q, k, v = (x[some, columns] for x in (query, key, value))
            weights = (q @ k.T / math.sqrt(WIDTH // HEADS)).softmax(-1)
            heads.append((weights * mask[head]) @ v)
        out.append(torch.cat(heads, -1))
        start += length
    return torch.cat(out)


def plain_masks(seed: int, p: float) -> list[Tensor]:
    dropped = round(p * LEVELS) / LEVELS
    drawn = numbers(seed, [HEADS * n * n for n in LENGTHS])
    kept = [torch.from_numpy((x >= dropped) / (1 - dropped)) for x in drawn]
    return [mask.view(HEADS, n, n) for mask, n in zip(kept, LENGTHS, strict=True)]


def test_attention_equals_one_head_of_a_sequence_after_another() -> None:
    given = [rows(sum(LENGTHS), WIDTH) for _ in range(3)]
    masks = plain_masks(3, P)
    torch.manual_seed(3)
    ours = packed_attention(*given, LENGTHS, heads=HEADS, p=P)
    plain = plain_attention(*given, masks)
    assert_close(ours, plain)
    gradient = torch.randn_like(plain)
    assert_close(torch.autograd.grad(ours, given, gradient), torch.autograd.grad(plain, given, gradient))


def test_attention_without_dropout_equals_the_plain_one() -> None:
    given = [rows(sum(LENGTHS), WIDTH) for _ in range(3)]
    plain = plain_attention(*given, plain_masks(0, 0.0))
    assert_close(packed_attention(*given, LENGTHS, heads=HEADS, p=0.0), plain)


@pytest.mark.parametrize("block", [1, 7, 20, 49, 10_000])
def test_gradients_of_attention_equal_differences(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(blocked_attention, "BLOCK", block)
    both = rows(sum(LENGTHS), 3 * WIDTH)

    def attend(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return packed_attention(*x.chunk(3, -1), LENGTHS, heads=HEADS, p=P)

    assert torch.autograd.gradcheck(attend, both)


def test_large_logits_do_not_overflow() -> None:
    query, key, value = (100 * torch.randn(4, WIDTH) for _ in range(3))
    out = packed_attention(query, key, value, (4,), heads=HEADS, p=1e-9)
    assert_close(out, packed_attention(query, key, value, (4,), heads=HEADS, p=0.0))


@pytest.mark.parametrize("p", [0.0, P])
def test_attention_of_no_sequence_is_empty(p: float) -> None:
    given = [rows(0, WIDTH) for _ in range(3)]
    out = packed_attention(*given, (), heads=HEADS, p=p)
    assert out.shape == (0, WIDTH)
    out.sum().backward()


# ---------------------------------------------------------------- feed-forward


class Shifted(nn.Module):
    """An activation with several parameters that is not zero at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.shift, self.scale = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor([1.5]))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * torch.tanh(x + self.shift)


def with_slope(slope: float) -> PReLU:
    layer = PReLU()
    nn.init.constant_(layer.slope, slope)
    return layer


ACTIVATIONS = {
    "relu": nn.ReLU,
    "prelu": PReLU,
    "prelu with a negative slope": lambda: with_slope(-0.2),
    "prelu with no slope": lambda: with_slope(0.0),
    "swish": SwishModule,
    "gelu": nn.GELU,
    "other": Shifted,
}
activations = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)


class Layers(nn.Module):
    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.up, self.down, self.activation = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH), activation()
        self.double()

    def forward(self, x: Tensor, p: float = P, seed: int = 3) -> Tensor:
        torch.manual_seed(seed)
        return blocked_feedforward.blocked_feedforward(x, self.up, self.activation, self.down, p)

    def plain(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)) * mask)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked_feedforward, "BLOCK", 3 * HIDDEN)


@activations
@pytest.mark.parametrize("p", [0.0, P])
def test_feedforward_equals_the_plain_one(
    small_blocks: None, activation: Callable[[], nn.Module], p: float
) -> None:
    layers, x = Layers(activation), rows(2, 4, WIDTH)
    dropped = round(p * LEVELS) / LEVELS
    drawn = numbers(3, [3 * HIDDEN, 3 * HIDDEN, 2 * HIDDEN])
    mask = torch.from_numpy((np.concatenate(drawn) >= dropped) / (1 - dropped)).view(2, 4, HIDDEN)
    ours, plain = layers(x, p), layers.plain(x, mask)
    assert_close(ours, plain)
    with torch.no_grad():
        assert_close(layers(x, p), plain)
    gradient, wanted = torch.randn_like(plain), [x, *layers.parameters()]
    assert_close(torch.autograd.grad(ours, wanted, gradient), torch.autograd.grad(plain, wanted, gradient))


@activations
def test_gradients_of_feedforward_equal_differences(
    small_blocks: None, activation: Callable[[], nn.Module]
) -> None:
    layers, x = Layers(activation), rows(7, WIDTH)
    names = [name for name, _ in layers.named_parameters()]

    def change(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(layers, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(change, (x, *layers.parameters()))


def test_feedforward_of_no_rows_is_empty() -> None:
    layers, x = Layers(PReLU), rows(0, WIDTH)
    out = layers(x)
    assert out.shape == (0, WIDTH)
    out.sum().backward()
    assert not layers.up.weight.grad.any()
