"""The log-mel front end against a plain one in numpy."""

import math

import numpy as np
import pytest
import torch

from amrbench_plugins.backends.spectral import FRAMES_A_SECOND, MELS, RATE, LogMel, mel_filters


def mel_by_hand():
    """Triangles between 66 corners that are evenly spaced in mel, each with a sum of one."""

    def mel(hertz):
        return 2595 * math.log10(1 + hertz / 700)

    low, high = mel(50), mel(7600)
    corners = [700 * (10 ** ((low + (high - low) * k / 65) / 2595) - 1) for k in range(66)]
    filters = np.zeros((513, 64))
    for band in range(64):
        left, top, right = corners[band : band + 3]
        for bin_ in range(513):
            hertz = bin_ * RATE / 1024
            if left < hertz <= top:
                filters[bin_, band] = (hertz - left) / (top - left)
            elif top < hertz < right:
                filters[bin_, band] = (right - hertz) / (right - top)
    return filters / (filters.sum(0) + 1e-9)


def log_mel_by_hand(waveform):
    """Frame by frame, in float64."""
    filters = mel_by_hand()
    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / 1024) for n in range(1024)])
    window /= window.sum()
    padded = np.concatenate([np.zeros(352), waveform.astype(np.float64), np.zeros(1024)])
    frames = []
    for frame in range(len(waveform) // 320):
        piece = padded[frame * 320 : frame * 320 + 1024]
        power = np.abs(np.fft.rfft(piece * window)) ** 2
        frames.append(np.log(power @ filters + 1e-7))
    return np.array(frames)


@pytest.fixture(scope="module")
def waveform():
    rng = np.random.default_rng(0)
    time = np.arange(6 * RATE + 123) / RATE
    return (0.05 * rng.standard_normal(len(time)) + 0.3 * np.sin(6000 * time)).astype(np.float32)


def test_filters_equal_triangles_drawn_by_hand():
    np.testing.assert_allclose(mel_filters().numpy(), mel_by_hand(), atol=1e-6)


def test_no_filter_is_empty():
    assert mel_filters().shape == (513, MELS)
    np.testing.assert_allclose(mel_filters().sum(0).numpy(), 1, atol=1e-5)


def test_frames_equal_those_made_one_by_one(waveform):
    frames = LogMel()(torch.from_numpy(waveform)).numpy()
    assert frames.shape == (6 * FRAMES_A_SECOND, MELS)
    np.testing.assert_allclose(frames, log_mel_by_hand(waveform), atol=2e-4)


def test_recordings_of_a_batch_do_not_mix(waveform):
    front_end = LogMel()
    batch = torch.from_numpy(np.stack([waveform, waveform[::-1].copy()]))
    alone = torch.stack([front_end(waveform) for waveform in batch])
    torch.testing.assert_close(front_end(batch), alone, atol=1e-5, rtol=0)


def test_the_waveform_is_not_changed(waveform):
    tensor = torch.from_numpy(waveform.copy())
    LogMel()(tensor)
    assert tensor.numpy().tobytes() == waveform.tobytes()


def test_silence_is_finite():
    frames = LogMel()(torch.zeros(RATE))
    torch.testing.assert_close(frames, torch.full((50, MELS), math.log(1e-7)))


def test_a_frame_is_centred_on_its_hop():
    click = torch.zeros(RATE)
    click[25 * 320 + 160] = 1.0
    loudness = LogMel()(click).mean(1)
    assert int(loudness.argmax()) == 25
    torch.testing.assert_close(loudness[24], loudness[26], atol=1e-3, rtol=0)
