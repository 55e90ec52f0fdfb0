import os

import numpy as np
import pytest
import soundfile

from amrbench.errors import DataError
from amrbench.files.audio_layout import MOST_STREAMS, audio_layout
from tests.core.files.mp3_files import mp3, without_info

NOISE = np.random.default_rng(0).normal(0, 0.1, 8000)
TAG = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)


@pytest.mark.parametrize("suffix", ["wav", "aiff", "au", "w64", "caf", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("tag", [b"", TAG])
def test_each_format_has_its_measure_also_behind_a_tag(tmp_path, suffix, tag):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, NOISE, 8000)
    path.write_bytes(tag + path.read_bytes())
    layout = audio_layout(path)
    assert layout is not None
    assert (len(layout.streams), layout.findings) == (1, ())


def test_an_mp3_is_known_by_its_frames_or_its_suffix(tmp_path):
    (tmp_path / "a").write_bytes(without_info(mp3()))
    (tmp_path / "a.mp3").write_bytes(b"some text" + mp3())
    (tmp_path / "b").write_bytes(b"some text" + mp3())
    assert audio_layout(tmp_path / "a") is not None
    assert audio_layout(tmp_path / "a.mp3") is not None
    assert audio_layout(tmp_path / "b") is None


@pytest.mark.parametrize("content", [b"", b"\0", b"no audio at all", b"\0\0\0\x20ftypM4A \0\0" + mp3()])
def test_other_files_have_no_layout(tmp_path, content):
    (tmp_path / "a.mp3").write_bytes(content)
    assert audio_layout(tmp_path / "a.mp3") is None


def test_a_truncated_file_is_refused_with_its_name(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 8000)
    os.truncate(path, 9000)
    with pytest.raises(DataError) as error:
        audio_layout(path)
    assert str(error.value) == (
        f"{path}: truncated: the header promises 16000 bytes of audio, the file has 8956. Copy it again."
    )


def test_a_file_of_many_recordings_is_refused(tmp_path):
    path = tmp_path / "a.au"
    soundfile.write(path, NOISE, 8000)
    path.write_bytes(path.read_bytes() * (MOST_STREAMS + 1))
    with pytest.raises(DataError) as error:
        audio_layout(path)
    assert str(error.value) == (
        f"{path}: holds 65 recordings one after another, and at most 64 are read. Make files of them, or "
        "convert it."
    )


def test_sizes_beyond_4_gib_are_cut_to_32_bits_by_some_recorders(tmp_path):
    path, size = tmp_path / "a.wav", (1 << 32) + 16000
    soundfile.write(path, NOISE, 8000, "PCM_16")
    os.truncate(path, 44 + size)  # Zeros at the end of a file take no place on the disk.
    layout = audio_layout(path)
    assert layout is not None
    assert layout.findings == (f"holds {size:,} bytes of audio, and its header counts 16,000",)
    with path.open("ab") as file:
        file.write(b"LIST\x04\0\0\0name")
    layout = audio_layout(path)
    assert layout is not None
    assert layout.streams[0].samples == range(44, 44 + size)
