"""Adaptive cross attention: dummies take attention and have no value."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

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
    model, batch = small.model(), small.batch()
    layer = model.fusion.layers[0]
    keys = model.fusion.keys(model._project_text(batch))
    without_words = keys.tokens.features.clone()
    without_words[:, keys.dummies :] = 0
    keys = replace(keys, tokens=keys.tokens.with_features(without_words))
    audio = model._embed_time(model._project_audio(batch))
    attended = layer(audio, keys, torch.zeros(1, 1, 1, without_words.shape[1]))
    assert_close(attended.features, layer.without_keys(audio.features), **NEAR)


def test_more_prompts_than_there_are_cannot_be_used() -> None:
    with pytest.raises(ValidationError, match="prompts_used is 3, but there are only 2 prompts"):
        small.part(fusion={"use": "adaptive-cross-attention", "prompts": 2, "prompts_used": 3})
