"""Adaptive cross attention: dummies take attention and have no value."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from amrbench.slots.blocks import Tokens
from amrbench_plugins.moment_detr import layers
from tests.plugins.moment_detr import small

NEAR = {"atol": 1e-5, "rtol": 0.0}


def test_attention_sums_to_one_over_dummies_and_real_words() -> None:
    model, batch = small.model(), small.batch()
    with torch.no_grad():
        tensors = model.encode(batch).tensors
    assert_close(tensors["attention"].sum(-1), torch.ones(3, 9))
    words = tensors["attention"][..., 3:]
    assert_close(tensors["attention.text"], words.sum(-1))
    assert float(words[~batch.text_mask[:, None].expand_as(words)].abs().max()) == 0


def test_dummies_have_no_value() -> None:
    model, mask = small.model(), torch.ones(2, 5, dtype=torch.bool)
    words, audio = (Tokens(torch.randn(2, 5, 16), torch.randn(2, 5, 16), mask) for _ in range(2))
    keys = model.fusion.keys(words)
    without_words = keys.tokens.features.clone()
    without_words[:, keys.dummies :] = 0
    keys = replace(keys, tokens=keys.tokens.with_features(without_words))
    layer = model.fusion.layers[0]
    attended = layer(audio, keys, torch.zeros(1, 1, 1, without_words.shape[1]))
    assert_close(attended.features, layer.without_keys(audio.features), **NEAR)


def test_gradients_of_long_recordings_with_dropout_equal_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "LONG", 9)  # frames, but neither words nor dummies
    fusion, batch = small.model(dropout=0.3).double().train().fusion, small.batch()
    audio, positions = torch.randn(2, 3, 9, 16, dtype=torch.float64)
    words = torch.randn(3, 4, 16, dtype=torch.float64)
    weights = torch.randn(3, 9, 16, dtype=torch.float64) * batch.audio_mask[..., None]

    def value(audio: Tensor, words: Tensor) -> Tensor:
        torch.manual_seed(5)
        keys = fusion.keys(Tokens(words, torch.zeros_like(words), batch.text_mask))
        fused = fusion(Tokens(audio, positions, batch.audio_mask), keys)
        return (fused.audio.features * weights).sum() + fused.tensors["attention"].square().sum()

    assert torch.autograd.gradcheck(value, (audio.requires_grad_(), words.requires_grad_()))


def test_long_recordings_are_fused_as_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = small.model(dropout=0.0).double().train(), small.batch()
    given = replace(batch, audio=batch.audio.double(), text=batch.text.double())
    found = []
    for shortest in (9, layers.LONG):
        monkeypatch.setattr(layers, "LONG", shortest)
        encoded = model.encode(given, ("mismatched-text",))
        views = (encoded.tensors, encoded.views["mismatched-text"])
        attention = [view["attention"] for view in views]
        found.append([*attention, *(view["memory"][batch.audio_mask] for view in views)])
    assert_close(*found)
