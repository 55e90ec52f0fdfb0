"""The small blocks of the baseline."""

from __future__ import annotations

import torch
from torch import nn

from amrbench.slots.blocks import Memory
from amrbench_plugins.moment_detr.layers import PReLU
from amrbench_plugins.moment_detr.small_blocks import (
    EndpointColumns,
    NoNorm,
    NoPrior,
    ReluAndPRelu,
    TokenAddition,
)


def test_add_global_adds_the_token_to_frames_only() -> None:
    mask = torch.ones(2, 3, dtype=torch.bool)
    memory = Memory(torch.randn(2, 4), torch.randn(2, 3, 4), torch.randn(2, 3, 4), mask)
    refined = TokenAddition()(memory)
    assert refined.frames.equal(memory.frames + memory.token[:, None])
    assert refined.token is memory.token


def test_a_flat_prior_changes_no_logit() -> None:
    bias = NoPrior()(torch.rand(2, 3, 2), torch.rand(2, 3, 8), torch.ones(2, 5, dtype=torch.bool))
    assert bias.shape == (1, 1, 1, 1)
    assert not bias.any()


def test_identity_changes_nothing() -> None:
    norm, rows = NoNorm(), torch.randn(2, 3, 4)
    assert norm.audio(rows) is rows
    assert norm.text(rows) is rows


def test_every_activation_is_a_new_module() -> None:
    activation = ReluAndPRelu()
    assert isinstance(activation.mlp(), nn.ReLU)
    first, second = activation.feedforward(), activation.feedforward()
    assert isinstance(first, PReLU)
    assert first is not second


def test_endpoint_features_are_columns_and_no_summand() -> None:
    embedding, mask = EndpointColumns(), torch.tensor([[True, True, False]])
    assert embedding.columns(mask).shape == (1, 3, embedding.columns_width)
    assert embedding.columns(mask)[0].tolist() == [[0, 0.5], [0.5, 1], [0, 0]]
    assert not embedding.add(mask).any()
