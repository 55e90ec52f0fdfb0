from pathlib import Path

import numpy as np
import pytest

from amrbench.data.audio_levels import Levels

TONE = (0.5 * np.sin(np.arange(8000) / 5)).astype(np.float32)
OTHER = np.random.default_rng(0).normal(0, 0.2, 8000).astype(np.float32)


def findings(*channels, parts=1, path=Path("a.wav")):
    levels = Levels()
    for part in np.array_split(np.stack(channels, 1).astype(np.float32), parts):
        levels.add(part, part.mean(axis=1, dtype=np.float32))
    return list(levels.findings(path))


@pytest.mark.parametrize(
    "channels", [[TONE], [TONE, TONE], [TONE, OTHER], [TONE, 0 * TONE], [TONE, -0.5 * TONE], [8 * TONE]]
)
def test_usual_recordings_are_not_noted(channels):
    assert findings(*channels) == []
    assert findings(*channels, parts=7) == []


@pytest.mark.parametrize("channels", [[0 * TONE], [0 * TONE, 0 * TONE], [1e-5 * TONE]])
def test_silence(channels):
    assert findings(*channels) == ["a.wav: is silent: no sample is above -80 dB of full scale."]


def test_integers_saved_as_floats():
    assert findings(32767 * TONE / 0.5, parts=3) == [
        "a.wav: has samples up to 32,767, and sound lies between -1 and 1, so encoders may recognise nothing "
        "in it. If they are integers saved as floats, divide them by 32768."
    ]


@pytest.mark.parametrize(
    ("second", "loss"), [(-TONE, "silence"), (-0.9 * TONE, "26 dB quieter than they are")]
)
def test_channels_that_cancel(second, loss):
    assert findings(TONE, second, parts=3) == [
        f"a.wav: its channels cancel: their mean, which is used, is {loss}. Keep one of them, e.g. with "
        "\"ffmpeg -i a.wav -af 'pan=mono|c0=c0' a-mono.wav\"."
    ]


def test_a_sample_whose_square_is_too_large_for_float32():
    sample = 0 * TONE
    sample[100] = 2.5e19
    assert findings(TONE + sample, TONE) == [
        "a.wav: has samples up to 25,000,000,501,021,933,568, and sound lies between -1 and 1, so encoders "
        "may recognise nothing in it. If they are integers saved as floats, divide them by 32768."
    ]
    (_, cancels) = findings(TONE + sample, TONE - sample)
    assert cancels.startswith("a.wav: its channels cancel: their mean, which is used, is ")
