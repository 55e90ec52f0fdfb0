"""Layer norms of audio and text ahead of cross attention."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn
from torch.testing import assert_close

from amrbench.slots.blocks import AttentionNorm, Keys
from amrbench_plugins.moment_detr.dropout import StochasticDepth
from amrbench_plugins.moment_detr.fusion import CrossLayer
from amrbench_plugins.moment_detr.layers import FeedForward
from tests.plugins.ours import small

WIDTH, HEADS, DUMMIES = 8, 2, 2


def layer(norm):
    torch.manual_seed(2)
    feedforward = FeedForward(WIDTH, 12, 0.0, nn.ReLU())
    return CrossLayer(heads=HEADS, norm=norm, feedforward=feedforward, residual_sum=StochasticDepth(0.0))


@pytest.fixture
def norm():
    return small.built("attention_norm", "modality")


def attend(layer, audio, text):
    return layer(audio, Keys(text, DUMMIES), torch.zeros(1, 1, 1, text.mask.shape[1]))


def test_the_scale_of_the_text_changes_nothing(norm):
    audio, text = small.tokens(6), small.tokens(5)
    plain = attend(layer(norm), audio, text)
    loud = attend(layer(norm), audio, text.with_features(10 * text.features))
    assert_close(loud.features, plain.features, rtol=0, atol=1e-4)
    assert_close(loud.weights, plain.weights, rtol=0, atol=1e-4)
    plain = attend(layer(AttentionNorm()), audio, text)
    loud = attend(layer(AttentionNorm()), audio, text.with_features(10 * text.features))
    assert small.gap(loud.weights, plain.weights) > 0.05


def test_the_scale_of_the_audio_changes_the_residual_and_no_attention_weight(norm):
    audio, text = small.tokens(6), small.tokens(5)
    plain = attend(layer(norm), audio, text)
    loud = attend(layer(norm), audio.with_features(10 * audio.features), text)
    assert_close(loud.weights, plain.weights, rtol=0, atol=1e-4)
    assert small.gap(loud.features, plain.features) > 0.05


def test_the_layer_equals_one_frame_and_head_at_a_time(norm):
    small.stirred(norm)
    module, audio, text = layer(norm), small.tokens(4), small.tokens(5)
    attended = attend(module, audio, text)
    rows = F.layer_norm(audio.features[0], (WIDTH,), norm.audio_norm.weight, norm.audio_norm.bias)
    words = F.layer_norm(text.features[0], (WIDTH,), norm.text_norm.weight, norm.text_norm.bias)
    for frame in range(4):
        query, per_head = rows[frame] + audio.positions[0, frame], []
        for head in (slice(0, 4), slice(4, 8)):
            keys = (words + text.positions[0])[:, head]
            weights = (keys @ query[head] / 2).softmax(0)
            per_head.append((weights[DUMMIES:, None] * words[DUMMIES:, head]).sum(0))
        x = audio.features[0, frame] + module.out(torch.cat(per_head))
        expected = module.norm2(x + module.feedforward(module.norm1(x)))
        assert_close(attended.features[0, frame], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", ["audio", "text"])
def test_a_norm_of_one_side_removes_the_scale_of_that_side_alone(norm, side):
    one = small.built("attention_norm", "modality", sides=[side])
    rows = small.tokens(6).features
    own, other = (one.audio, one.text) if side == "audio" else (one.text, one.audio)
    both = norm.audio if side == "audio" else norm.text
    assert own(rows).equal(both(rows))
    assert_close(own(10 * rows), own(rows), rtol=0, atol=1e-4)
    assert other(rows) is rows
    assert [name for name, _ in one.named_parameters()] == [f"{side}_norm.weight", f"{side}_norm.bias"]


def test_bad_sides_are_refused():
    for sides, message in (
        (["text", "text"], "'text' is listed twice; keep one."),
        (["words"], "Input should be 'audio' or 'text', not 'words'."),
    ):
        with pytest.raises(ValidationError) as error:
            small.part("attention_norm", "modality", sides=sides)
        assert message in str(error.value)


def test_no_rows_and_rows_of_zeros_are_normalised(norm):
    assert norm.text(torch.zeros(2, 0, WIDTH)).shape == (2, 0, WIDTH)
    assert not norm.audio(torch.zeros(2, 3, WIDTH)).any()


def test_every_layer_has_norms_of_its_own():
    layers = small.model(fusion=small.EVERYTHING["fusion"]).fusion.layers
    assert len({id(layer.norm.audio_norm) for layer in layers}) == len(layers) == 2
    assert layers[0].norm.audio_norm is not layers[0].norm.text_norm


def test_every_weight_learns(norm):
    (attend(layer(norm), small.tokens(6), small.tokens(5)).features ** 3).sum().backward()
    assert small.without_gradient(norm) == []
