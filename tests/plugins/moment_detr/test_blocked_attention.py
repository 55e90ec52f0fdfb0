"""Attention in blocks, compared with a plain implementation that has the same masks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from amrbench_plugins.moment_detr import blocked_attention
from amrbench_plugins.moment_detr.blocked_attention import packed_attention
from amrbench_plugins.moment_detr.masks import LEVELS
from tests.plugins.moment_detr.random_numbers import numbers, rows

WIDTH, HEADS = 8, 2
LENGTHS = (5, 1, 7)
P = 0.3


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


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
