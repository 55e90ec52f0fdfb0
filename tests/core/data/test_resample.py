import math

import numpy as np
import pytest
import torch

from amrbench.data.resample import resample


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def by_hand(waveform: np.ndarray, rate: int, new_rate: int, indices: range | None = None) -> np.ndarray:
    """The formula of the windowed sinc, sample by sample; zero at other than the given indices."""
    common = math.gcd(rate, new_rate)
    old, new = rate // common, new_rate // common
    cut = min(old, new) * 0.99
    samples = np.zeros(math.ceil(len(waveform) * new / old))
    for n in indices or range(len(samples)):
        centre = n * old / new
        for k in range(
            max(0, int(centre - 7 * old / cut) - 1), min(len(waveform), int(centre + 7 * old / cut) + 2)
        ):
            turns = (k - centre) / old * cut
            if abs(turns) < 6:
                window = math.cos(turns * math.pi / 12) ** 2
                samples[n] += waveform[k] * np.sinc(turns) * window * cut / old
    return samples


USUAL = [(48000, 16000), (16000, 44100), (44100, 16000), (8000, 16000)]
ODD = [(44101, 16000), (8001, 16000), (44056, 16000), (16000, 44101), (192001, 16000), (1, 16000)]


@pytest.mark.parametrize(("rate", "new_rate"), [*USUAL, *ODD])
@pytest.mark.parametrize("samples", [1, 400])
def test_resampling_is_the_windowed_sinc(rate, new_rate, samples):
    waveform = np.random.default_rng(0).normal(0, 0.3, min(samples, rate)).astype(np.float32)
    resampled = resample(waveform, rate, new_rate)
    assert resampled.dtype == np.float32
    np.testing.assert_allclose(resampled, by_hand(waveform, rate, new_rate), atol=2e-6)


@pytest.mark.parametrize("rate", [44101, 8001])
def test_phases_repeat_after_each_second_of_an_odd_rate(rate):
    waveform = np.random.default_rng(0).normal(0, 0.3, rate + rate // 3).astype(np.float32)
    indices = range(15900, 16100)
    resampled = resample(waveform, rate, 16000)[indices.start : indices.stop]
    np.testing.assert_allclose(resampled, by_hand(waveform, rate, 16000, indices)[indices], atol=2e-6)


@pytest.mark.parametrize(("rate", "new_rate"), [*USUAL, *ODD])
def test_no_rate_needs_large_kernels(rate, new_rate, monkeypatch):
    sizes = []
    convolved = torch.nn.functional.conv1d

    def watched(samples, kernels, **options):
        sizes.append(kernels.numel())
        return convolved(samples, kernels, **options)

    monkeypatch.setattr(torch.nn.functional, "conv1d", watched)
    resample(np.zeros(10, np.float32), rate, new_rate)
    assert max(sizes) <= 1 << 20
    assert sum(sizes) < 1 << 23
    assert (len(sizes) == 1) == ((rate, new_rate) in [*USUAL, (1, 16000)])


def test_a_tone_keeps_its_pitch_and_too_high_a_tone_is_removed():
    low = resample(tone(44100), 44100, 16000)
    assert np.abs(low - tone(16000))[200:-200].max() < 1e-3
    high = resample(tone(44100, hertz=12000), 44100, 16000)
    assert np.abs(high)[200:-200].max() < 1e-2


def test_the_same_rate_is_left_alone():
    waveform = tone(16000)
    assert resample(waveform, 16000, 16000) is waveform
