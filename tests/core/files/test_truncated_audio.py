import numpy as np
import pytest
import soundfile

from amrbench.files.truncated_audio import find_truncation

NOISE = np.random.default_rng(0).normal(0, 0.1, 8000)
UNCOMPRESSED = [
    *[(kind.lower(), kind, order) for kind in ("WAV", "AIFF", "AU") for order in ("LITTLE", "BIG")],
    ("wav", "WAVEX", "FILE"),
    ("wav", "RF64", "FILE"),
    ("w64", "W64", "FILE"),
    ("caf", "CAF", "FILE"),
]


@pytest.mark.parametrize(("suffix", "kind", "order"), UNCOMPRESSED)
@pytest.mark.parametrize("lost", [1, 1000, 15000])
def test_the_audio_that_an_uncompressed_header_promises_must_be_there(tmp_path, suffix, kind, order, lost):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, NOISE, 8000, "PCM_16", order, kind)
    assert find_truncation(path) == ""
    path.write_bytes(path.read_bytes()[:-lost])
    # The length of the chunk includes 8 bytes before the audio in AIFF, 4 in CAF.
    promised = 16000 + {"AIFF": 8, "CAF": 4}.get(kind, 0)
    assert find_truncation(path) == (
        f"the header promises {promised} bytes of audio, the file has {promised - lost}"
    )


@pytest.mark.parametrize(("suffix", "kind", "order"), UNCOMPRESSED)
def test_chunks_may_follow_the_audio(tmp_path, suffix, kind, order):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, NOISE, 8000, "PCM_16", order, kind)
    with path.open("ab") as file:
        file.write(b"LIST\0\0\0\0and more")
    assert find_truncation(path) == ""


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
def test_a_header_may_not_know_the_length(tmp_path, length):
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 8000, "PCM_16")
    content = bytearray(path.read_bytes())
    start = content.index(b"data") + 4
    content[start : start + 4] = length.to_bytes(4, "little")
    path.write_bytes(content)
    assert find_truncation(path) == ""


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("lost", [1, 100, 3000])
def test_an_ogg_stream_without_its_end(tmp_path, subtype, lost):
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.tile(NOISE, 10), 8000, subtype)
    assert find_truncation(path) == ""
    path.write_bytes(path.read_bytes()[:-lost])
    assert find_truncation(path) == "the OGG stream has no end mark"


def test_chunk_lengths_beyond_the_file_end_the_search(tmp_path):
    path = tmp_path / "a.w64"
    soundfile.write(path, NOISE, 8000)
    content = bytearray(path.read_bytes())
    for length in (0, 23, (1 << 64) - 1, 1 << 63):
        content[56:64] = length.to_bytes(8, "little")
        path.write_bytes(content)
        assert find_truncation(path) == ""


@pytest.mark.parametrize("content", [b"", b"RIF", b".snd", b"no audio at all", b"OggX"])
def test_another_file_has_no_evidence(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    assert find_truncation(tmp_path / "a.wav") == ""
