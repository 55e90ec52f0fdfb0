"""The audio side of M2D-CLAP against plain formulas over the published names."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from amrbench_plugins.backends.m2d_clap import vit
from amrbench_plugins.backends.m2d_clap.encoder import load_audio
from tests.plugins.backends.published import m2d_weights, noise, random


def mel_by_hand(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def hertz_by_hand(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def log_mel_by_hand(wave: np.ndarray) -> np.ndarray:
    """Frame by frame, bin by bin, filter by filter."""
    padded = np.pad(wave.astype(np.float64), 200, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    low, high = mel_by_hand(50), mel_by_hand(8000)
    corners = [hertz_by_hand(low + (high - low) * n / 81) for n in range(82)]
    rows = []
    for start in range(0, len(wave) + 1, 160):
        power = np.abs(np.fft.rfft(padded[start : start + 400] * window)) ** 2
        row = []
        for a, b, c in zip(corners, corners[1:], corners[2:], strict=False):
            total = 0.0
            for k in range(201):
                hertz = k * 40.0
                total += max(0.0, min((hertz - a) / (b - a), (c - hertz) / (c - b))) * 2 / (c - a) * power[k]
            row.append(math.log(total + 1.1920929e-07))
        rows.append(row)
    return np.array(rows)


def test_the_front_end_is_the_formula():
    wave = noise(vit.RATE, 0.2)
    log_mel = vit.LogMel()(torch.from_numpy(wave)[None])[0].numpy()
    assert log_mel.shape == (21, 80)
    np.testing.assert_allclose(log_mel, log_mel_by_hand(wave), atol=2e-4)


def block_by_hand(x: Tensor, weights: dict[str, Tensor], prefix: str, heads: int, eps: float) -> Tensor:
    """One transformer layer, head by head and token by token."""

    def get(name):
        return weights[f"{prefix}.{name}"]

    def norm(value, name):
        centred = value - value.mean(-1, keepdim=True)
        deviation = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
        return centred / deviation * get(f"{name}.weight") + get(f"{name}.bias")

    size = x.shape[1] // heads
    mixed = norm(x, "norm1") @ get("attn.qkv.weight").T + get("attn.qkv.bias")
    query, key, value = mixed.split(x.shape[1], dim=1)
    attended = torch.zeros_like(x)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for token in range(len(x)):
            logits = (key[:, part] * query[token, part]).sum(1) / math.sqrt(size)
            attended[token, part] = (logits.softmax(0)[:, None] * value[:, part]).sum(0)
    x = x + attended @ get("attn.proj.weight").T + get("attn.proj.bias")
    hidden = norm(x, "norm2") @ get("mlp.fc1.weight").T + get("mlp.fc1.bias")
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return x + hidden @ get("mlp.fc2.weight").T + get("mlp.fc2.bias")


def second_by_hand(wave: np.ndarray, weights: dict[str, Tensor]) -> Tensor:
    """The row of one second, from the published names alone."""
    weights = {name.removeprefix("backbone."): tensor.double() for name, tensor in weights.items()}
    mean, deviation = weights["norm_stats"]
    spectrogram = (torch.from_numpy(log_mel_by_hand(wave)) - mean) / deviation
    kernel, bias = weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"]
    tokens = [weights["cls_token"][0, 0] + weights["pos_embed"][0, 0]]
    for row in range(5):
        for column in range(len(spectrogram) // 16):
            patch = spectrogram[16 * column : 16 * column + 16, 16 * row : 16 * row + 16].T
            value = (kernel[:, 0] * patch).sum((1, 2)) + bias
            tokens.append(value + weights["pos_embed"][0, 1 + 62 * row + column])
    x = torch.stack(tokens)
    for number in range(2):
        x = block_by_hand(x, weights, f"blocks.{number}", 1, 1e-6)
    x = functional.layer_norm(x, (64,), weights["norm.weight"], weights["norm.bias"], 1e-6)[1:]
    x = torch.cat([weights["audio_proj.sem_token"][0], x])
    x = block_by_hand(x, weights, "audio_proj.sem_blocks.0", 1, 1e-5)
    return functional.layer_norm(
        x, (64,), weights["audio_proj.norm.weight"], weights["audio_proj.norm.bias"], 1e-5
    )[0]


def test_each_row_is_the_formula_over_the_published_names(encoder):
    wave = noise(vit.RATE, 2.4)
    rows = encoder.audio(wave)
    assert rows.shape == (2, 64)
    for second in range(2):
        by_hand = second_by_hand(wave[16000 * second : 16000 * second + 16000], m2d_weights())
        np.testing.assert_allclose(rows[second], by_hand.numpy(), atol=2e-4)


def test_attention_with_several_heads_is_the_formula():
    block = vit.Block(32, 4, 48, eps=1e-6).double()
    weights = {f"b.{name}": tensor.double() for name, tensor in random(block.state_dict()).items()}
    block.load_state_dict({name[2:]: tensor for name, tensor in weights.items()})
    x = torch.randn(5, 32, dtype=torch.float64)
    assert_close(block(x[None])[0], block_by_hand(x, weights, "b", 4, 1e-6))


def test_a_bright_band_changes_the_tokens_of_its_row_alone():
    net = load_audio(
        {n.removeprefix("backbone."): t for n, t in m2d_weights().items() if n.startswith("backbone.")}, "x"
    )
    dark = torch.zeros(1, 80, 101)
    bright = dark.clone()
    bright[:, 32:48] = 5
    one, other = (net.with_positions(net.patch_embed(bands))[0] for bands in (dark, bright))
    changed = (one - other).abs().sum(1) > 0
    assert changed.nonzero().flatten().tolist() == list(range(1 + 2 * 6, 1 + 3 * 6))
