"""Adaptive cross attention: dummies take attention and have no value."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.testing import assert_close

from amrbench.slots.blocks import Tokens
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
