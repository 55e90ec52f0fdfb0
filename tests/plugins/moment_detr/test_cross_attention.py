"""Cross attention of frames to words, compared with torch's own attention, and the token beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from amrbench.slots.blocks import Keys, Tokens
from amrbench_plugins.moment_detr import layers
from amrbench_plugins.moment_detr.layers import bias_of
from tests.plugins.moment_detr import small

NEAR = {"atol": 1e-5, "rtol": 0.0}
QDDETR = {
    "fusion": {"use": "cross-attention", "layers": 2},
    "token_types": "none",
    "text_summary": "none",
    "residual_dropout": "elements",
    "memory_refine": [],
}


def model(**changed: Any) -> Any:
    return small.model(**{**QDDETR, **changed})


def tokens(rows: int, mask: Tensor) -> Tokens:
    features, positions = torch.randn(2, 3, rows, 16)
    return Tokens(features, positions, mask)


def test_a_layer_equals_the_attention_of_torch() -> None:
    torch.manual_seed(0)
    layer, batch = model().fusion.layers[0], small.batch()
    audio, words = tokens(9, batch.audio_mask), tokens(4, batch.text_mask)
    plain = torch.nn.MultiheadAttention(16, layer.heads, batch_first=True).eval()
    with torch.no_grad():
        for one, other in (
            (plain.in_proj_weight, layer.qkv.weight),
            (plain.in_proj_bias, layer.qkv.bias.uniform_()),
            (plain.out_proj.weight, layer.out.weight),
            (plain.out_proj.bias, layer.out.bias.uniform_()),
        ):
            one.copy_(other)
        query = audio.features + audio.positions
        attended, _ = plain(query, words.features, words.features, key_padding_mask=~words.mask)
        summed = audio.features + attended
        expected = layer.norm2(summed + layer.feedforward(layer.norm1(summed)))
        bias = bias_of(words.mask[:, None, None], torch.float32)
        assert_close(layer(audio, Keys(words), bias), expected, **NEAR)


def test_weights_of_words_are_dropped_in_training() -> None:
    layer, batch = model(dropout=0.5).fusion.layers[0].train(), small.batch()
    layer.residual_sum.eval()
    layer.feedforward.eval()
    audio, words = tokens(9, batch.audio_mask), tokens(4, batch.text_mask)
    bias = bias_of(words.mask[:, None, None], torch.float32)
    one, other = (layer(audio, Keys(words), bias) for _ in range(2))
    assert not one.equal(other)
    assert layer.eval()(audio, Keys(words), bias).equal(layer(audio, Keys(words), bias))


def test_words_have_no_position() -> None:
    layer, batch = model().fusion.layers[0], small.batch()
    audio, words = tokens(9, batch.audio_mask), tokens(4, batch.text_mask)
    bias = bias_of(words.mask[:, None, None], torch.float32)
    moved = replace(words, positions=words.positions + 1)
    assert layer(audio, Keys(words), bias).equal(layer(audio, Keys(moved), bias))


def test_the_token_is_the_same_for_all_recordings_until_it_is_encoded() -> None:
    built, batch = model(), small.batch()
    fused = built.fusion(tokens(9, batch.audio_mask), Keys(tokens(4, batch.text_mask)))
    assert fused.token.equal(built.fusion.token.expand(3, -1))
    assert fused.token_position is built.fusion.position
    assert fused.tensors == {}
    encoded = built.encode(batch).tensors["memory.token"]
    assert (encoded[0] - encoded[1]).abs().max() > 1e-3


def test_frames_without_add_global_are_those_of_the_encoder() -> None:
    tensors = model().encode(small.batch()).tensors
    assert tensors["memory"].equal(tensors["memory.encoded"])


def test_long_recordings_are_fused_as_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    built, batch = model(dropout=0.0).double().train(), small.batch()
    given = replace(batch, audio=batch.audio.double(), text=batch.text.double())
    found = []
    for shortest in (9, layers.LONG):
        monkeypatch.setattr(layers, "LONG", shortest)
        encoded = built.encode(given, ("mismatched-text",))
        views = (encoded.tensors, encoded.views["mismatched-text"])
        found.append([view["memory"][batch.audio_mask] for view in views])
    assert_close(*found)


def test_gradients_of_long_recordings_with_dropout_equal_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "LONG", 9)  # frames, but not words
    fusion, batch = model(dropout=0.3).double().train().fusion, small.batch()
    audio, positions = torch.randn(2, 3, 9, 16, dtype=torch.float64)
    words = torch.randn(3, 4, 16, dtype=torch.float64)
    weights = torch.randn(3, 9, 16, dtype=torch.float64) * batch.audio_mask[..., None]

    def value(audio: Tensor, words: Tensor) -> Tensor:
        torch.manual_seed(5)
        keys = fusion.keys(Tokens(words, torch.zeros_like(words), batch.text_mask))
        fused = fusion(Tokens(audio, positions, batch.audio_mask), keys)
        return (fused.audio.features * weights).sum()

    assert torch.autograd.gradcheck(value, (audio.requires_grad_(), words.requires_grad_()))


def test_the_view_has_the_text_of_the_next_sample() -> None:
    built, batch = model(), small.batch()
    rolled = replace(batch, text=batch.text.roll(-1, 0), text_mask=batch.text_mask.roll(-1, 0))
    with torch.no_grad():
        view = built.encode(batch, ("mismatched-text",)).views["mismatched-text"]
        expected = built.encode(rolled).tensors
    for name in ("saliency", "memory", "memory.token"):
        assert_close(view[name], expected[name], **NEAR)
