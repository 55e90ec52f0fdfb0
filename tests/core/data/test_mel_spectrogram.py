import numpy as np
import pytest
import soundfile

from amrbench.data.audio import AudioFile, open_audio
from amrbench.data.mel_spectrogram import mel_filters, mel_of, mel_spectrogram


def recorded(path, waveform, rate=16000):
    soundfile.write(path, waveform, rate, subtype="FLOAT")
    return open_audio(path)


def spectrogram_by_hand(file, columns, bands, size):
    """Each position is read by itself."""
    filters, window = mel_filters(file.rate, size, bands, file.rate / 2), np.hanning(size)
    edges = np.linspace(0, file.samples - size, columns + 1)
    pictures = []
    for column in range(columns):
        width = edges[column + 1] - edges[column]
        starts = sorted({int(edges[column] + width * step / 8) for step in range(8)})
        power = [np.abs(np.fft.rfft(file.read(start, start + size) * window)) ** 2 for start in starts]
        pictures.append(10 * np.log10(np.maximum(filters @ np.mean(power, 0), 1e-10)))
    return np.stack(pictures, 1)


@pytest.mark.parametrize("columns", [3, 40, 400])
def test_a_column_is_the_mean_power_at_eight_positions(tmp_path, columns):
    noise = np.random.default_rng(0).normal(size=16000 * 10).astype(np.float32)
    file = recorded(tmp_path / "a.wav", noise)
    decibels, highest = mel_spectrogram(file, columns=columns, bands=20)
    assert highest == 8000
    np.testing.assert_allclose(decibels, spectrogram_by_hand(file, columns, 20, 1024), atol=1e-3)


def test_a_tone_is_in_the_band_of_its_frequency(tmp_path):
    times = np.arange(16000 * 4) / 16000
    file = recorded(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 1000 * times))
    decibels, highest = mel_spectrogram(file, columns=10, bands=80)
    centres = np.linspace(0, mel_of(highest), 82)[1:-1]
    assert set(decibels.argmax(0)) == {np.abs(centres - mel_of(1000.0)).argmin()}


def test_a_short_sound_in_minutes_of_silence_is_seen(tmp_path):
    wave = np.zeros(16000 * 600, np.float32)
    wave[16000 * 300 : 16000 * 300 + 3200] = 0.5
    decibels, _ = mel_spectrogram(recorded(tmp_path / "a.wav", wave), columns=1200)
    assert decibels.argmax(1)[0] in (599, 600)
    assert (decibels > -90).any(0).sum() <= 3


def test_a_bounded_part_of_a_long_recording_is_read(tmp_path, monkeypatch):
    file = recorded(tmp_path / "a.wav", np.zeros(16000 * 600, np.float32))
    read, counts = AudioFile.read, []

    def counted(self, start=0, stop=None):
        samples = read(self, start, stop)
        counts.append(len(samples))
        return samples

    monkeypatch.setattr(AudioFile, "read", counted)
    mel_spectrogram(file, columns=10)
    assert sum(counts) == 10 * 8 * 1024


@pytest.mark.parametrize("samples", [1, 700, 1024, 5000])
def test_a_short_recording_has_few_columns(tmp_path, samples):
    decibels, _ = mel_spectrogram(recorded(tmp_path / "a.wav", np.ones(samples, np.float32)))
    assert decibels.shape == (80, max(1, 4 * samples // 1024))
    assert np.isfinite(decibels).all()


@pytest.mark.parametrize(("rate", "highest"), [(2, 1.0), (8000, 4000.0), (192000, 16000.0)])
def test_the_picture_ends_where_people_hear_no_more(tmp_path, rate, highest):
    assert mel_spectrogram(recorded(tmp_path / "a.wav", np.ones(rate, np.float32), rate))[1] == highest


@pytest.mark.parametrize("rate", [2, 8000, 11025, 44100, 192000])
def test_every_band_takes_something(rate):
    size = max(64, 1 << int(np.ceil(np.log2(max(1, 0.05 * rate)))))
    assert mel_filters(rate, size, 80, min(rate / 2, 16000)).any(1).all()
