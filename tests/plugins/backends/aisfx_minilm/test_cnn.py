"""The audio side of aiSFX against numbers of the published package, and its front end against the formula.

Recorded with aisfx 0.1.2 and Essentia 2.1b6: every tenth spectrum of the sound below, and the row that the
network of the package, with other widths and the random weights of `published.aisfx_weights`, gives it.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from amrbench.types import Rows
from amrbench_plugins.backends.aisfx_minilm import cnn
from tests.folders import DATA
from tests.plugins.backends.published import AISFX_WIDTHS, aisfx_weights, noise


@pytest.fixture(scope="module")
def net() -> cnn.AudioEncoder:
    net = cnn.AudioEncoder(AISFX_WIDTHS).eval().requires_grad_(requires_grad=False)
    net.load_state_dict(aisfx_weights())
    return net


def sound() -> Rows:
    """Noise that grows louder, and a tone that rises."""
    wave = noise(cnn.RATE, 3.0)
    seconds = np.arange(len(wave)) / cnn.RATE
    tone = 0.3 * np.sin(2 * np.pi * (300 + 500 * seconds) * seconds)
    return (wave * np.linspace(0, 1, len(wave)) + tone).astype(np.float32)[: cnn.BLOCK]


def test_spectra_and_rows_are_those_of_the_published_package(net):
    with np.load(DATA / "aisfx" / "recorded.npz") as recorded:
        spectra = net.spectra(torch.from_numpy(sound())[None])
        assert spectra.shape == (1, cnn.FRAMES, 96)
        np.testing.assert_allclose(spectra[0, ::10].numpy(), recorded["spectra"], atol=1e-5)
        np.testing.assert_allclose(net.rows(spectra).numpy(), recorded["rows"], atol=1e-4)


def mel_by_hand(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


def spectrum_by_hand(frame: Rows) -> list[float]:
    """Bin by bin, filter by filter."""
    window = [0.5 - 0.5 * math.cos(2 * math.pi * n / 2047) for n in range(2048)]
    power = np.abs(np.fft.rfft(frame.astype(np.float64) * window)) ** 2
    corners = [mel_by_hand(22050) * n / 97 for n in range(98)]
    values = []
    for low, middle, high in zip(corners, corners[1:], corners[2:], strict=False):
        total = weight = 0.0
        for bin_number in range(1025):
            mel = mel_by_hand(bin_number * 44100 / 2048)
            height = max(0.0, min((mel - low) / (middle - low), (high - mel) / (high - middle)))
            total, weight = total + height * power[bin_number], weight + height
        values.append(math.log10(1 + 10_000 * total / weight) / 9.457798957824707)
    return values


def test_the_front_end_is_the_formula(net):
    wave = sound()
    spectra = net.spectra(torch.from_numpy(wave)[None])[0].numpy()
    for frame in (0, 57, 99):
        by_hand = spectrum_by_hand(wave[1024 * frame : 1024 * frame + 2048])
        np.testing.assert_allclose(spectra[frame], by_hand, atol=1e-5)


def test_the_number_of_weights_is_that_of_the_published_model():
    net = cnn.AudioEncoder()
    assert sum(weight.numel() for weight in net.parameters()) == 4_686_144
    assert net.width == 512
