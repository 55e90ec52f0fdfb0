import os

import numpy as np
import pytest
import soundfile

from amrbench.data import audio
from amrbench.data.audio import open_audio
from amrbench.errors import DataError


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "aiff"])
def test_channels_are_averaged_whatever_the_format(tmp_path, suffix):
    left, right = tone(16000), tone(16000, hertz=880)
    soundfile.write(tmp_path / f"a.{suffix}", np.stack([left, right], 1), 16000)
    file = open_audio(tmp_path / f"a.{suffix}")
    assert (file.rate, file.samples, file.seconds) == (16000, 16000, 1.0)
    lossy = suffix == "ogg"
    assert np.abs(file.read() - (left + right) / 2).max() < (0.1 if lossy else 1e-4)


def test_a_part_is_read_alone(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(8000), 8000)
    file = open_audio(tmp_path / "a.flac")
    samples = file.read()
    assert np.array_equal(file.read(100, 300), samples[100:300])
    assert np.array_equal(file.read(7900, 9000), samples[7900:])


def refusal(path) -> str:
    with pytest.raises(DataError) as error:
        open_audio(path).read()
    return str(error.value)


def test_a_missing_file(tmp_path):
    assert refusal(tmp_path / "a.wav") == f"{tmp_path}/a.wav: there is no such audio file."


def test_a_name_that_is_not_utf_8(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    path.write_bytes(b"RIFF")
    assert refusal(path) == f"the name '{tmp_path}/caf\\udce9.wav' is not UTF-8. Rename the file."


def test_a_truncated_wav_is_not_a_shorter_recording(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(8000), 8000)
    path.write_bytes(path.read_bytes()[:-1000])
    assert refusal(path) == (
        f"{path}: truncated: the header promises 16000 bytes of audio, the file has 15000. Copy it again."
    )


@pytest.mark.parametrize("suffix", ["wav", "aiff", "au", "w64", "caf", "flac", "ogg", "opus", "mp3"])
@pytest.mark.parametrize("fraction", [0.0001, 0.1, 0.5, 0.77, 0.99, 0.999])
def test_no_part_of_a_file_is_a_shorter_recording(tmp_path, suffix, fraction):
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).normal(0, 0.1, 48000 * 5)
    soundfile.write(
        path,
        noise,
        48000,
        format="OGG" if suffix == "opus" else None,
        subtype="OPUS" if suffix == "opus" else None,
    )
    content = path.read_bytes()
    assert len(open_audio(path).read()) == 48000 * 5
    path.write_bytes(content[: int(len(content) * fraction)])
    assert refusal(path).startswith(f"{path}: ")


def test_a_format_whose_truncated_files_cannot_be_detected(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(8000), 8000, format="VOC")
    assert refusal(path) == (
        f"{path}: holds VOC (Creative Labs), a format whose truncated files cannot be detected. Convert it, "
        "for example to FLAC."
    )


def flac_of(path, samples: int) -> None:
    """Write a second of audio whose header promises other numbers of samples (36 bits)."""
    soundfile.write(path, tone(8000), 8000)
    content = bytearray(path.read_bytes())
    content[21] = content[21] & 0xF0 | samples >> 32
    content[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(content)


def test_no_memory_is_reserved_for_what_a_header_promises(tmp_path):
    path = tmp_path / "a.flac"
    flac_of(path, (1 << 36) - 1)
    assert refusal(path).startswith(f"{path}: cannot be read as audio (")


def test_a_stream_of_unknown_length(tmp_path):
    path = tmp_path / "a.flac"
    flac_of(path, 0)
    assert refusal(path) == (
        f"{path}: the header does not say how long the recording is. Convert it again, into a file and not "
        "into a pipe."
    )


def test_blocks_together_are_the_recording(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.stack([tone(8000), tone(8000, hertz=880)], 1), 8000)
    samples = open_audio(path).read()
    monkeypatch.setattr(audio, "_BLOCK", 300)
    assert np.array_equal(open_audio(path).read(), samples)
    assert np.array_equal(open_audio(path).read(100, 1000), samples[100:1000])
    assert len(open_audio(path).read(100, 100)) == 0


def test_an_mp3_is_opened_once_however_often_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 48000 * 5), 48000)
    sound_file, calls = soundfile.SoundFile, []

    def counted(*arguments):
        calls.append(arguments)
        return sound_file(*arguments)

    monkeypatch.setattr(soundfile, "SoundFile", counted)
    file = open_audio(path)
    calls.clear()
    samples = file.read()
    for start in (200_000, 5, 100_000):
        np.testing.assert_allclose(file.read(start, start + 2048), samples[start : start + 2048], atol=1e-6)
    assert len(calls) == 1


def test_a_truncated_flac_is_refused(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 80000), 8000)
    path.write_bytes(path.read_bytes()[:40000])
    assert str(path) in refusal(path)


def test_a_recording_without_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 8000)
    assert refusal(tmp_path / "a.wav") == f"{tmp_path}/a.wav: the recording has no samples."


def test_a_file_that_is_no_audio(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"no audio at all")
    text = refusal(path)
    assert text.startswith(f"{path}: cannot be read as audio (")
    assert text.endswith(
        "Known formats: WAV, FLAC, OGG, MP3, AIFF, AU, CAF and W64; convert other files first."
    )


def test_samples_that_are_not_finite(tmp_path):
    path = tmp_path / "a.wav"
    waveform = tone(8000)
    waveform[5] = np.nan
    soundfile.write(path, waveform, 8000, subtype="FLOAT")
    assert refusal(path) == f"{path}: holds samples that are not finite. Export the recording again."
