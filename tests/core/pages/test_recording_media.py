from io import BytesIO

import numpy as np
import pytest
import soundfile

from amrbench.data.audio import open_audio
from amrbench.pages.recording_media import png, sound, spectrogram


def recorded(path, rate, seconds=3.5):
    times = np.arange(int(rate * seconds)) / rate
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * times) * (times > 1), rate, subtype="FLOAT")
    return open_audio(path)


@pytest.mark.parametrize(
    ("rate", "kind"),
    [
        (16000, "audio/mpeg"),
        (44100, "audio/mpeg"),
        (12345, "audio/ogg"),
        (96000, "audio/ogg"),
        (6000, "audio/wav"),
    ],
)
def test_the_sound_of_a_page_is_that_of_the_recording(tmp_path, rate, kind):
    file = recorded(tmp_path / "a.wav", rate)
    media = sound(file)
    decoded, decoded_rate = soundfile.read(BytesIO(media.content))
    assert (media.kind, decoded_rate, len(decoded)) == (kind, rate, file.samples)
    assert np.abs(decoded - file.read()).mean() < 0.02


def test_sound_may_be_a_part_of_the_recording(tmp_path):
    decoded, rate = soundfile.read(BytesIO(sound(recorded(tmp_path / "a.wav", 16000), 0.5, 1.5).content))
    assert len(decoded) == rate
    assert np.abs(decoded[: rate // 2 - 500]).max() < 0.05 < np.abs(decoded[-rate // 4 :]).max()


def test_a_picture_is_what_was_drawn():
    image = pytest.importorskip("matplotlib.image")
    pixels = np.random.default_rng(0).integers(0, 256, (7, 13), dtype=np.uint8)
    np.testing.assert_array_equal(np.round(255 * image.imread(BytesIO(png(pixels)))), pixels)


def test_low_frequencies_are_at_the_bottom_and_the_loudest_is_white(tmp_path):
    image = pytest.importorskip("matplotlib.image")
    picture = spectrogram(recorded(tmp_path / "a.wav", 16000), columns=40)
    assert (picture.kind, picture.highest) == ("image/png", 8000.0)
    pixels = image.imread(BytesIO(picture.content))
    assert pixels.shape == (80, 40)
    assert pixels.max() == 1
    assert (pixels[:, 20:30].argmax(0) > 60).all(), "440 Hz of 8 kHz"
    assert pixels[:, :8].max() == 0, "silence"
