import os

import numpy as np
import pytest
import soundfile

from amrbench.data.sndfile_decoder import NotDecodedError, sndfile_decoder, why_not_decoded
from amrbench.files.audio_layout import audio_layout
from amrbench.files.audio_stream import AudioStream

NOISE = np.random.default_rng(0).normal(0, 0.1, (8000, 2))


def decoders(path):
    layout = audio_layout(path)
    assert layout is not None
    return [sndfile_decoder(path, stream) for stream in layout.streams]


def all_of(decoder):
    return decoder.read(0, decoder.samples)


SIZES = {
    # Name of the chunk with the audio, bytes from there to its size, and bytes of the size.
    "WAV": (b"data", 4, 4),
    "WAVEX": (b"data", 4, 4),
    "AIFF": (b"SSND", 4, 4),
    "AU": (b"", 8, 4),
    "W64": (b"data", 16, 8),
}


def write_unfinished(path, kind):
    """Write a placeholder into the header of a file in place of the size of its audio."""
    content = bytearray(path.read_bytes())
    name, offset, width = SIZES[kind]
    start = content.index(name) + offset
    big = kind == "AIFF" or content[:4] in (b".snd", b"RIFX")
    content[start : start + width] = (0x7FFFFFFF).to_bytes(width, "big" if big else "little")
    path.write_bytes(content)


@pytest.mark.parametrize(
    "subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "PCM_U8", "PCM_S8"]
)
@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("order", ["FILE", "LITTLE", "BIG"])
def test_samples_behind_a_wrong_size_are_those_behind_the_right_one(tmp_path, kind, subtype, order):
    if not soundfile.check_format(kind, subtype, order):
        return
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 8000, subtype, order, kind)
    (whole,) = decoders(path)
    expected = all_of(whole)
    write_unfinished(path, kind)
    (decoder,) = decoders(path)
    assert (decoder.rate, decoder.samples, bool(decoder.raw)) == (8000, 8000, True)
    assert np.array_equal(all_of(decoder), expected)
    assert np.array_equal(decoder.read(100, 50), expected[100:150])


def test_chunks_after_the_audio_of_a_w64_are_no_audio(tmp_path):
    path = tmp_path / "a.w64"
    soundfile.write(path, NOISE, 8000, "PCM_16")
    levels = b"levl\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a" + (24 + 4000).to_bytes(8, "little")
    path.write_bytes(path.read_bytes() + levels + b"x" * 4000)
    (decoder,) = decoders(path)
    assert decoder.samples == 8000
    assert np.abs(all_of(decoder) - NOISE).max() < 1e-4


@pytest.mark.parametrize(
    ("kind", "subtype"), [("WAV", "GSM610"), ("WAV", "NMS_ADPCM_32"), ("AU", "G721_32"), ("AU", "G723_24")]
)
def test_codecs_in_which_libsndfile_cannot_seek_are_read_in_order(tmp_path, kind, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE[:, 0], 8000, subtype, format=kind)
    with soundfile.SoundFile(path) as file:
        expected = file.read(file.frames, dtype="float32", always_2d=True)
    (decoder,) = decoders(path)
    assert np.array_equal(all_of(decoder), expected)
    assert np.array_equal(decoder.read(100, 50), expected[100:150])
    assert len(expected) >= 8000


def test_a_compressed_file_needs_its_size(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 8000, "IMA_ADPCM")
    assert decoders(path)[0].samples >= 8000
    write_unfinished(path, "WAV")
    with pytest.raises(NotDecodedError) as error:
        decoders(path)
    assert str(error.value) == "its header has a wrong size, and IMA ADPCM is not read without it"


def test_a_stream_with_a_higher_count_than_libsndfile_reads_is_not_read(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 8000)
    with pytest.raises(NotDecodedError, match="of varying bit rate, which is cut short"):
        sndfile_decoder(path, AudioStream(count=8001))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("VOC", "it holds VOC (Creative Labs), a format whose truncated files are not noticed"),
        ("WAV", "it is damaged or incomplete"),
    ],
)
def test_why_a_file_is_not_decoded(tmp_path, kind, reason):
    soundfile.write(tmp_path / "a.wav", NOISE, 8000, format=kind)
    assert why_not_decoded(tmp_path / "a.wav") == reason
    (tmp_path / "a.wav").write_bytes(b"no audio at all")
    assert why_not_decoded(tmp_path / "a.wav") == "Format not recognised"


@pytest.mark.parametrize("suffix", [".raw", ".gsm", ".vox", ".au"])
def test_the_name_of_a_file_does_not_matter(tmp_path, suffix):
    path = tmp_path / f"a: b{suffix}"
    soundfile.write(path, NOISE, 8000, format="WAV")
    (decoder,) = decoders(path)
    assert np.abs(all_of(decoder) - NOISE).max() < 1e-4
    path.write_bytes(b"no audio at all")
    assert why_not_decoded(path) == "Format not recognised"


def test_no_file_stays_open(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 8000)
    before = os.listdir("/proc/self/fd")
    for content in (path.read_bytes(), b"no audio at all"):
        path.write_bytes(content)
        why_not_decoded(path)
    assert os.listdir("/proc/self/fd") == before
