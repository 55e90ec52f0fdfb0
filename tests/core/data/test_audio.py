import math
import os

import numpy as np
import pytest
import soundfile
import torch

from amrbench.data import audio
from amrbench.data.audio import open_audio
from amrbench.data.resample import resample
from amrbench.errors import DataError
from amrbench.files.truncated_audio import find_truncation


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    at = np.arange(round(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * at)).astype(np.float32)


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
    whole = file.read()
    assert np.array_equal(file.read(100, 300), whole[100:300])
    assert np.array_equal(file.read(7900, 9000), whole[7900:])


def by_hand(waveform: np.ndarray, rate: int, wanted: int, chosen: range | None = None) -> np.ndarray:
    """The formula of the windowed sinc, sample by sample; zero where it was not asked for."""
    common = math.gcd(rate, wanted)
    old, new = rate // common, wanted // common
    cut = min(old, new) * 0.99
    found = np.zeros(math.ceil(len(waveform) * new / old))
    for n in chosen or range(len(found)):
        centre = n * old / new
        for k in range(
            max(0, int(centre - 7 * old / cut) - 1), min(len(waveform), int(centre + 7 * old / cut) + 2)
        ):
            turns = (k - centre) / old * cut
            if abs(turns) < 6:
                window = math.cos(turns * math.pi / 12) ** 2
                found[n] += waveform[k] * np.sinc(turns) * window * cut / old
    return found


USUAL = [(48000, 16000), (16000, 44100), (44100, 16000), (8000, 16000)]
ODD = [(44101, 16000), (8001, 16000), (44056, 16000), (16000, 44101), (192001, 16000), (1, 16000)]


@pytest.mark.parametrize(("rate", "wanted"), [*USUAL, *ODD])
@pytest.mark.parametrize("samples", [1, 400])
def test_resampling_is_the_windowed_sinc(rate, wanted, samples):
    waveform = np.random.default_rng(0).normal(0, 0.3, min(samples, rate)).astype(np.float32)
    found = resample(waveform, rate, wanted)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(waveform, rate, wanted), atol=2e-6)


@pytest.mark.parametrize("rate", [44101, 8001])
def test_after_a_whole_second_of_an_odd_rate_all_begins_anew(rate):
    waveform = np.random.default_rng(0).normal(0, 0.3, rate + rate // 3).astype(np.float32)
    chosen = range(15900, 16100)
    found = resample(waveform, rate, 16000)[chosen.start : chosen.stop]
    np.testing.assert_allclose(found, by_hand(waveform, rate, 16000, chosen)[chosen], atol=2e-6)


@pytest.mark.parametrize(("rate", "wanted"), [*USUAL, *ODD])
def test_no_rate_needs_large_kernels(rate, wanted, monkeypatch):
    sizes = []
    convolved = torch.nn.functional.conv1d

    def watched(heard, kernels, **options):
        sizes.append(kernels.numel())
        return convolved(heard, kernels, **options)

    monkeypatch.setattr(torch.nn.functional, "conv1d", watched)
    resample(np.zeros(10, np.float32), rate, wanted)
    assert max(sizes) <= 1 << 20
    assert sum(sizes) < 1 << 23
    assert (len(sizes) == 1) == ((rate, wanted) in [*USUAL, (1, 16000)])


def test_a_tone_keeps_its_pitch_and_what_is_too_high_is_gone():
    low = resample(tone(44100), 44100, 16000)
    assert np.abs(low - tone(16000))[200:-200].max() < 1e-3
    high = resample(tone(44100, hertz=12000), 44100, 16000)
    assert np.abs(high)[200:-200].max() < 1e-2


def test_the_same_rate_is_left_alone():
    waveform = tone(16000)
    assert resample(waveform, 16000, 16000) is waveform


def refusal(path) -> str:
    with pytest.raises(DataError) as error:
        open_audio(path).read()
    return str(error.value)


def test_a_missing_file(tmp_path):
    assert refusal(tmp_path / "a.wav") == f"{tmp_path}/a.wav: there is no such audio file."


def test_a_name_that_is_no_text(tmp_path):
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


UNCOMPRESSED = [
    *[(kind.lower(), kind, order) for kind in ("WAV", "AIFF", "AU") for order in ("LITTLE", "BIG")],
    ("wav", "WAVEX", "FILE"),
    ("wav", "RF64", "FILE"),
    ("w64", "W64", "FILE"),
    ("caf", "CAF", "FILE"),
]


@pytest.mark.parametrize(("suffix", "kind", "order"), UNCOMPRESSED)
@pytest.mark.parametrize("lost", [1, 1000, 15000])
def test_what_uncompressed_headers_promise_must_be_there(tmp_path, suffix, kind, order, lost):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(8000), 8000, "PCM_16", order, kind)
    assert len(open_audio(path).read()) == 8000
    path.write_bytes(path.read_bytes()[:-lost])
    # The chunk of AIFF counts 8 bytes before the audio, that of CAF 4.
    promised = 16000 + {"AIFF": 8, "CAF": 4}.get(kind, 0)
    assert refusal(path) == (
        f"{path}: truncated: the header promises {promised} bytes of audio, the file has {promised - lost}. "
        "Copy it again."
    )


@pytest.mark.parametrize(("suffix", "kind", "order"), UNCOMPRESSED)
def test_chunks_after_the_audio_may_be_there(tmp_path, suffix, kind, order):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(8000), 8000, "PCM_16", order, kind)
    with path.open("ab") as file:
        file.write(b"LIST\0\0\0\0and more")
    assert open_audio(path).samples >= 8000


@pytest.mark.parametrize("suffix", ["wav", "aiff", "au", "w64", "caf", "flac", "ogg", "opus", "mp3"])
@pytest.mark.parametrize("share", [0.0001, 0.1, 0.5, 0.77, 0.99, 0.999])
def test_no_part_of_a_file_is_a_shorter_recording(tmp_path, suffix, share):
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
    path.write_bytes(content[: int(len(content) * share)])
    assert refusal(path).startswith(f"{path}: ")


def test_an_ogg_stream_without_its_end(tmp_path):
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 80000), 8000)
    path.write_bytes(path.read_bytes()[:-1])
    assert refusal(path) == f"{path}: truncated: the OGG stream has no end mark. Copy it again."


def test_lengths_that_lead_nowhere_end_the_search(tmp_path):
    path = tmp_path / "a.w64"
    soundfile.write(path, tone(8000), 8000)
    content = bytearray(path.read_bytes())
    for length in (0, 23, (1 << 64) - 1, 1 << 63):
        content[56:64] = length.to_bytes(8, "little")
        path.write_bytes(content)
        assert find_truncation(path) == ""


def test_a_format_whose_truncated_files_are_not_told(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(8000), 8000, format="VOC")
    assert refusal(path) == (
        f"{path}: holds VOC (Creative Labs), and of that format a truncated file cannot be told from a whole "
        "one. Convert it, for example to FLAC."
    )


def flac_of(path, samples: int) -> None:
    """Write a second of audio whose header promises other numbers of samples (36 bits)."""
    soundfile.write(path, tone(8000), 8000)
    content = bytearray(path.read_bytes())
    content[21] = content[21] & 0xF0 | samples >> 32
    content[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(content)


def test_room_is_not_made_for_what_a_header_promises(tmp_path):
    path = tmp_path / "a.flac"
    flac_of(path, (1 << 36) - 1)
    assert refusal(path).startswith(f"{path}: cannot be read as audio (")


def test_a_stream_of_unknown_length(tmp_path):
    path = tmp_path / "a.flac"
    flac_of(path, 0)
    assert refusal(path) == f"{path}: does not say how long it is. Convert it again, into a file."


def test_pieces_are_the_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.stack([tone(8000), tone(8000, hertz=880)], 1), 8000)
    whole = open_audio(path).read()
    monkeypatch.setattr(audio, "_BLOCK", 300)
    assert np.array_equal(open_audio(path).read(), whole)
    assert np.array_equal(open_audio(path).read(100, 1000), whole[100:1000])
    assert len(open_audio(path).read(100, 100)) == 0


def test_an_mp3_is_opened_once_however_many_places_are_read(tmp_path, monkeypatch):
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 48000 * 5), 48000)
    opened, times = soundfile.SoundFile, []

    def counted(*arguments):
        times.append(arguments)
        return opened(*arguments)

    monkeypatch.setattr(audio.soundfile, "SoundFile", counted)
    file = open_audio(path)
    times.clear()
    whole = file.read()
    for start in (200_000, 5, 100_000):
        np.testing.assert_allclose(file.read(start, start + 2048), whole[start : start + 2048], atol=1e-6)
    assert len(times) == 1


def test_a_truncated_flac_is_refused(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 80000), 8000)
    path.write_bytes(path.read_bytes()[:40000])
    assert str(path) in refusal(path)


def test_a_recording_without_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 8000)
    assert refusal(tmp_path / "a.wav") == f"{tmp_path}/a.wav: the recording has no samples."


def test_something_else_than_audio(tmp_path):
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
