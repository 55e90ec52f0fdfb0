"""The audio side of MS-CLAP against plain formulas and the library transformers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from amrbench_plugins.backends.ms_clap import htsat
from tests.plugins.backends.published import CLAP_AUDIO, clap_weights, noise, random

AUDIO = "audio_encoder.base.htsat."


def log_mel_by_hand(wave: np.ndarray) -> np.ndarray:
    """Decibels of the stored filters on a Fourier transform, frame by frame."""
    filters = clap_weights()[f"{AUDIO}logmel_extractor.melW"].double().numpy()
    padded = np.pad(wave.astype(np.float64), 512, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    starts = range(0, len(wave) + 1, 320)
    frames = [np.fft.rfft(padded[start : start + 1024] * window) for start in starts]
    return np.array([10 * np.log10(np.maximum(np.abs(frame) ** 2 @ filters, 1e-10)) for frame in frames])


def test_the_front_end_is_the_stored_kernels_and_filters(encoder):
    wave = noise(htsat.RATE, 1)
    net = encoder.audio_net
    log_mel = net.logmel_extractor(net.spectrogram_extractor(torch.from_numpy(wave)[None]))[0].numpy()
    assert log_mel.shape == (138, 64)
    np.testing.assert_allclose(log_mel, log_mel_by_hand(wave), atol=2e-3)


RENAMED = {
    "bn0.": "batch_norm.",
    "attn.proj.": "attention.output.dense.",
    "attn.relative_position_bias_table": "attention.self.relative_position_bias_table",
    "norm1.": "layernorm_before.",
    "norm2.": "layernorm_after.",
    "mlp.fc1.": "intermediate.dense.",
    "mlp.fc2.": "output.dense.",
}


def names_of_the_library(weights):
    """The published audio weights under the names of the same network in transformers."""
    renamed = {}
    for name, value in weights.items():
        if name.startswith(("spectrogram", "logmel", "tscam", "head")) or "position_index" in name:
            continue
        new = name
        for ours, theirs in RENAMED.items():
            new = new.replace(ours, theirs)
        if "attn.qkv." in new:
            for part, chunk in zip(("query", "key", "value"), value.chunk(3), strict=True):
                renamed[new.replace("attn.qkv.", f"attention.self.{part}.")] = chunk
        else:
            renamed[new] = value
    return renamed


def test_the_network_is_that_of_an_independent_implementation(encoder):
    transformers = pytest.importorskip("transformers")
    from transformers.models.clap.modeling_clap import ClapAudioEncoder

    config = transformers.ClapAudioConfig(
        patch_embeds_hidden_size=8, depths=[2, 2, 2, 2], num_attention_heads=[1, 2, 2, 4], hidden_size=64,
        projection_dim=64, enable_fusion=False, drop_path_rate=0.0, hidden_dropout_prob=0.0,
    )  # fmt: skip
    oracle = ClapAudioEncoder(config).eval()
    weights = {n.removeprefix(AUDIO): t for n, t in clap_weights().items() if n.startswith(AUDIO)}
    state = names_of_the_library(weights)
    missing, unknown = oracle.load_state_dict(state, strict=False)
    assert [name for name in missing if "position_index" not in name] == []
    assert unknown == []
    waves = torch.from_numpy(np.stack([noise(htsat.RATE, 1), noise(htsat.RATE, 1, 1)]))
    net = encoder.audio_net
    with torch.no_grad():
        log_mel = net.logmel_extractor(net.spectrogram_extractor(waves))
        expected = oracle(log_mel[:, None], is_longer=None).pooler_output
        assert_close(net(waves), expected.flatten(1), atol=1e-4, rtol=1e-4)


def window_by_hand(x: torch.Tensor, block: htsat.Block) -> torch.Tensor:
    """Shifted window attention, position by position."""
    height = x.shape[0]
    attention, shift = block.attn, block.shift
    size = x.shape[2] // attention.heads
    attended = torch.zeros_like(x)
    qkv = attention.qkv(x)
    query, key, value = qkv.chunk(3, 2)

    def window_of(row):
        # Its window after the shift, its row there, and its region: only parts that were neighbours mix.
        shifted = (row - shift) % height
        return shifted // 8, shifted % 8, (row >= shift if shifted >= height - 8 else True)

    for i in range(height):
        for j in range(height):
            visible = [
                (k, m)
                for k in range(height)
                for m in range(height)
                if window_of(i)[::2] == window_of(k)[::2] and window_of(j)[::2] == window_of(m)[::2]
            ]
            for head in range(attention.heads):
                part = slice(head * size, (head + 1) * size)
                logits = []
                for k, m in visible:
                    rows, columns = window_of(i)[1] - window_of(k)[1], window_of(j)[1] - window_of(m)[1]
                    bias = attention.relative_position_bias_table[(rows + 7) * 15 + columns + 7, head]
                    logits.append(query[i, j, part] @ key[k, m, part] / math.sqrt(size) + bias)
                weights = torch.stack(logits).softmax(0)
                attended[i, j, part] = sum(
                    weight * value[k, m, part] for weight, (k, m) in zip(weights, visible, strict=True)
                )
    return attention.proj(attended)


@pytest.mark.parametrize("shifted", [False, True])
def test_windows_and_their_shift_are_the_formula(shifted):
    torch.manual_seed(0)
    block = htsat.Block(4, 2, 16, shifted=shifted).double()
    block.load_state_dict(random(block.state_dict()))
    x = torch.randn(16, 16, 4, dtype=torch.float64)
    with torch.no_grad():
        expected = x + window_by_hand(block.norm1(x), block)
        expected = expected + block.mlp(block.norm2(expected))
        assert_close(block(x[None])[0], expected)


def test_the_spectrogram_is_stretched_and_folded():
    net = htsat.Htsat(CLAP_AUDIO).eval()
    log_mel = torch.arange(1024.0)[None, :, None] + torch.arange(64.0) / 100
    image = net.image(log_mel)[0, 0].detach()
    assert image.shape == (256, 256)
    scale = math.sqrt(1 + net.bn0.eps)
    for row, column in ((0, 0), (3, 200), (64, 0), (130, 17), (255, 255)):
        fold, band = divmod(row, 64)
        assert float(image[row, column]) * scale == pytest.approx(256 * fold + column + band / 100, rel=1e-4)
