import os
from collections.abc import Callable
from pathlib import PurePath
from shlex import quote

import numpy as np
import pytest
import soundfile

from amrbench.data import audio, sndfile_decoder
from amrbench.data.audio import SUFFIXES, how_to_convert, open_audio, readable_suffixes
from amrbench.errors import DataError
from amrbench.notes import Note, collected_notes
from tests.core.files.mp3_files import mp3, without_info


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


def test_a_folder_is_no_recording(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path}: is a folder. Name one recording."
    (tmp_path / "b.txt").touch()
    for name in ("c.flac", "a.wav"):
        (tmp_path / name).touch()
    assert refusal(tmp_path) == (
        f"{tmp_path}: is a folder. Name one recording, e.g. one of 'a.wav', 'c.flac'."
    )


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypM4A \0\0", "M4A (MPEG-4 audio)"),
        (b"\x1aE\xdf\xa3", "WebM or Matroska"),
        (b"Creative Voice File", "VOC"),
    ],
)
@pytest.mark.parametrize(("name", "new"), [("a.mp3", "a.flac"), ("b c.m4a", "b c.flac"), ("d.flac", "d.wav")])
def test_without_pyav_other_formats_are_named_with_a_way_to_convert_them(
    tmp_path, monkeypatch, head, kind, name, new
):
    monkeypatch.setattr(audio, "has_pyav", lambda: False)
    path = tmp_path / name
    path.write_bytes(head + bytes(2000))
    command = f"ffmpeg -i {quote(str(path))} -vn {quote(str(tmp_path / new))}"
    assert refusal(path) == (
        f"{path}: cannot be read as audio (it is {kind}). Convert it, e.g. with '{command}', or install "
        "PyAV, which the extra 'video' brings."
    )


def test_with_pyav_more_suffixes_can_be_read(monkeypatch):
    monkeypatch.setattr(audio, "has_pyav", lambda: False)
    assert readable_suffixes() == SUFFIXES
    assert "PyAV" in how_to_convert(PurePath("a.m4a"))
    monkeypatch.setattr(audio, "has_pyav", lambda: True)
    assert {".m4a", ".webm", ".mp4", ".wav"} <= set(readable_suffixes())
    assert how_to_convert(PurePath("a.m4a")) == "Convert it, e.g. with 'ffmpeg -i a.m4a -vn a.flac'."


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
    assert refusal(path) == (
        f"{path}: truncated: the header promises 68719476735 samples, the last frame ends after 8000. Copy "
        "it again."
    )


def noted(path, finding):
    """Return all samples of a file about which a note with this finding is issued."""
    with collected_notes() as notes:
        file = open_audio(path)
        waveform = file.read()
    assert notes == [f"{path}: {finding}; it is read as {file.seconds:.1f} s."]
    assert len(waveform) == file.samples
    return waveform


def test_a_stream_of_unknown_length_is_measured(tmp_path):
    path = tmp_path / "a.flac"
    flac_of(path, 0)
    finding = "does not say how long it is, because it was written to a pipe or not finished"
    assert np.abs(noted(path, finding) - tone(8000)).max() < 1e-4


def test_more_audio_than_the_header_counts_is_read_whole(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(8000), 8000)
    content = bytearray(path.read_bytes())
    content[40:44] = (6000).to_bytes(4, "little")
    path.write_bytes(content)
    waveform = noted(path, "holds 16,000 bytes of audio, and its header counts 6,000")
    assert np.abs(waveform - tone(8000)).max() < 1e-4


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "aiff", "mp3"])
def test_joined_files_are_read_one_after_another(tmp_path, suffix, monkeypatch):
    content, parts = b"", []
    for hertz in (440, 660, 880):
        path = tmp_path / f"{hertz}.{suffix}"
        soundfile.write(path, tone(16000, hertz=hertz), 16000)
        content += path.read_bytes()
        parts.append(open_audio(path).read())
    path = tmp_path / f"all.{suffix}"
    path.write_bytes(content)
    waveform = noted(path, "holds 3 recordings one after another")
    assert np.array_equal(waveform, np.concatenate(parts))
    with collected_notes():
        file = open_audio(path)
    np.testing.assert_allclose(file.read(15000, 34000), waveform[15000:34000], atol=1e-4)
    monkeypatch.setattr(audio, "_BLOCK", 700)
    np.testing.assert_allclose(file.read(15000, 34000), waveform[15000:34000], atol=1e-4)
    assert len(file.read(40000, 40000)) == 0


def test_joined_files_of_different_rates_are_refused(tmp_path):
    for rate in (8000, 16000):
        soundfile.write(tmp_path / f"{rate}.wav", tone(rate), rate)
    path = tmp_path / "a.wav"
    path.write_bytes((tmp_path / "8000.wav").read_bytes() + (tmp_path / "16000.wav").read_bytes())
    assert refusal(path) == (
        f"{path}: holds recordings one after another, of 8000 and 16000 samples a second. Make a file of "
        "each, or convert it."
    )


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_mp3_is_as_long_as_its_sound_with_and_without_info_frame(tmp_path, rate, mode, channels):
    content = mp3(rate, 3.0, channels, mode)
    (tmp_path / "a.mp3").write_bytes(content)
    whole = open_audio(tmp_path / "a.mp3")
    assert (whole.rate, whole.samples) == (rate, 3 * rate)
    (tmp_path / "b.mp3").write_bytes(without_info(content))
    bare = open_audio(tmp_path / "b.mp3")
    assert abs(bare.seconds - 3) < 0.1
    waveform = bare.read()
    assert len(waveform) == bare.samples
    # The encoder's delay is cut off, so the sound begins where it began.
    np.testing.assert_allclose(waveform[2000 : 3 * rate], whole.read()[2000:], atol=1e-3)


def test_silence_is_noted(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(8000), 8000)
    file = open_audio(path)
    file.read(0, 100)
    with pytest.warns(Note, match="is silent"):
        file.read()
    with pytest.warns(Note, match="is silent"):
        file.note_levels()


def test_channels_that_cancel_are_noted(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([tone(8000), -tone(8000)], 1), 8000)
    with pytest.warns(Note, match=f"^{path}: its channels cancel: their mean, which is used, is"):
        open_audio(path).read()


def test_integers_saved_as_floats_are_noted(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, 60000 * tone(8000), 8000, subtype="FLOAT")
    with pytest.warns(Note, match=f"^{path}: has samples up to 30,000"):
        open_audio(path).read()


def test_blocks_together_are_the_recording(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.stack([tone(8000), tone(8000, hertz=880)], 1), 8000)
    samples = open_audio(path).read()
    monkeypatch.setattr(audio, "_BLOCK", 300)
    assert np.array_equal(open_audio(path).read(), samples)
    assert np.array_equal(open_audio(path).read(100, 1000), samples[100:1000])
    assert len(open_audio(path).read(100, 100)) == 0


@pytest.mark.parametrize("rate", [16000, 48000])
def test_parts_of_an_mp3_are_those_of_the_whole(tmp_path, rate, monkeypatch):
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3(rate, 8.0))
    samples = open_audio(path).read()
    monkeypatch.setattr(audio, "_BLOCK", 3000)
    monkeypatch.setattr(sndfile_decoder, "BLOCK", 4000)
    assert np.array_equal(open_audio(path).read(), samples)
    file = open_audio(path)
    for start in (7 * rate, 5, 3 * rate, 2 * rate, 2 * rate + 100):
        assert np.array_equal(file.read(start, start + 2048), samples[start : start + 2048])


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
    assert refusal(path) == f'{path}: is text: "no audio at all". Copy or download the right file.'
    path.write_bytes(b"\x01\xff\x02")
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


@pytest.mark.parametrize("suffix", [".raw", ".gsm"])
def test_a_suffix_of_sound_without_header_is_not_believed(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, tone(8000), 8000, format="WAV")
    assert open_audio(path).seconds == 1
    path.write_bytes(b"\x01\xff\x02" * 500)
    assert refusal(path) == (
        f"{path}: cannot be read as audio (Format not recognised). Known formats: WAV, FLAC, OGG, MP3, AIFF, "
        "AU, CAF and W64; convert other files first."
    )


def adpcm_of(path, counted: Callable[[int], int], subtype: str) -> int:
    """Write 4 s whose header counts other bytes of audio; return how many there are."""
    soundfile.write(path, tone(8000, 4.0), 8000, subtype, format="WAV")
    content = bytearray(path.read_bytes())
    start = content.index(b"data") + 4
    size = int.from_bytes(content[start : start + 4], "little")
    content[start : start + 4] = counted(size).to_bytes(4, "little")
    path.write_bytes(content)
    return size


@pytest.mark.parametrize("pyav", [True, False])
@pytest.mark.parametrize(
    ("subtype", "codec"),
    [("IMA_ADPCM", "IMA ADPCM"), ("MS_ADPCM", "Microsoft ADPCM"), ("GSM610", "GSM 6.10")],
)
def test_compressed_audio_of_which_the_header_counts_a_part_is_refused(
    tmp_path, monkeypatch, subtype, codec, pyav
):
    monkeypatch.setattr(audio, "has_pyav", lambda: pyav)
    path = tmp_path / "a.wav"
    size = adpcm_of(path, lambda size: size // 2, subtype)
    assert refusal(path) == (
        f"{path}: holds {size:,} bytes of audio, and its header counts {size // 2:,}. It cannot be read as "
        f"audio (its header has a wrong size, and {codec} is not read without it). Export the recording "
        f"again, or convert it, e.g. with 'ffmpeg -ignore_length 1 -i {path} -vn {tmp_path}/a.flac'."
    )
    other = path.rename(tmp_path / "a.bin")
    assert refusal(other).endswith("is not read without it). Export the recording again.")


def test_joined_files_that_libsndfile_does_not_decode_are_refused(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(8000), 8000, "PCM_16")
    content = bytearray(path.read_bytes())
    content[20:22] = (0x11).to_bytes(2, "little")  # The codec is IMA ADPCM now, and its settings lack.
    path.write_bytes(content * 2)
    text = refusal(path)
    assert text.startswith(f"{path}: holds 2 recordings one after another. It cannot be read as audio (")
    assert text.endswith("). Export the recording again.")


@pytest.mark.parametrize("counted", [0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_compressed_audio_behind_an_unfinished_header_is_read_whole_by_pyav(tmp_path, counted):
    pytest.importorskip("av")
    path = tmp_path / "a.wav"
    adpcm_of(path, lambda _: counted, "IMA_ADPCM")
    finding = "does not say how long it is, because it was written to a pipe or not finished"
    assert abs(len(noted(path, finding)) / 8000 - 4) < 0.1


def test_compressed_audio_that_lacks_a_few_bytes_is_noted_by_pyav(tmp_path):
    pytest.importorskip("av")
    path = tmp_path / "a.wav"
    adpcm_of(path, lambda size: size + 2, "IMA_ADPCM")
    assert abs(len(noted(path, "lacks the last 2 bytes that its header counts")) / 8000 - 4) < 0.1


def test_a_sample_that_is_far_too_large_is_noted(tmp_path):
    path = tmp_path / "a.wav"
    waveform = np.stack([tone(8000), tone(8000)], 1)
    waveform[5, 0] = 2.5e19
    soundfile.write(path, waveform, 8000, subtype="FLOAT")
    with pytest.warns(Note, match=f"^{path}: has samples up to 25,000,000,501"):
        open_audio(path).read()
