import io

import numpy as np
import pytest
import soundfile

from amrbench.files.audio_stream import AudioLayout, AudioStream, TruncatedAudioError
from amrbench.files.file_view import FileView
from amrbench.files.flac_frames import flac_layout

WHOLE = AudioLayout((AudioStream(),))


def flac(samples=20000, rate=8000, channels=1, subtype="PCM_16"):
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, (samples, channels))
    soundfile.write(file, noise, rate, format="FLAC", subtype=subtype)
    return file.getvalue()


def promising(content, samples):
    """Return a file whose description has another number of samples (36 bits)."""
    content = bytearray(content)
    content[21] = content[21] & 0xF0 | samples >> 32
    content[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(content)


def layout_of(content):
    return flac_layout(content, 0, len(content))


def read(tmp_path, content, stream):
    (tmp_path / "a.flac").write_bytes(content)
    return soundfile.read(FileView(tmp_path / "a.flac", stream.pieces))[0]


@pytest.mark.parametrize("rate", [8000, 44100, 12345, 96000])
@pytest.mark.parametrize("samples", [100, 4096, 4097, 300_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_the_last_frame_ends_where_the_description_says(rate, samples, channels, subtype):
    content = flac(samples, rate, channels, subtype)
    assert layout_of(content) == WHOLE
    with pytest.raises(TruncatedAudioError) as error:
        layout_of(promising(content, samples + 1))
    assert str(error.value) == (
        f"the header promises {samples + 1} samples, the last frame ends after {samples}"
    )


def test_a_stream_of_unknown_length_is_measured(tmp_path):
    content = promising(flac(), 0)
    layout = layout_of(content)
    assert layout.findings == (
        "does not say how long it is, because it was written to a pipe or not finished",
    )
    assert len(read(tmp_path, content, layout.streams[0])) == 20000
    with pytest.raises(TruncatedAudioError, match="the last FLAC frame is incomplete"):
        layout_of(content[:-10])


def test_more_samples_than_promised_are_read(tmp_path):
    content = promising(flac(), 8000)
    layout = layout_of(content)
    assert layout.findings == ("holds 20,000 samples, and its header counts 8,000",)
    assert len(read(tmp_path, content, layout.streams[0])) == 20000


def test_a_cut_file_is_refused():
    with pytest.raises(TruncatedAudioError, match=r"the header promises 20000 samples, the last frame ends"):
        layout_of(flac()[: len(flac()) // 2])


def test_joined_files_are_read_one_after_another():
    content = flac() + flac()
    layout = layout_of(content)
    assert [stream.pieces for stream in layout.streams] == [
        (range(len(flac())),),
        (range(len(flac()), len(content)),),
    ]
    assert layout.findings == ("holds 2 recordings one after another",)


def test_tags_at_the_end_are_no_audio():
    assert layout_of(flac() + b"TAG".ljust(128)) == WHOLE


def test_the_beginning_of_a_file():
    assert layout_of(b"fLaC") == WHOLE
    for content in (b"fLaC\0\0\0\x22", b"fLaC\0\0\0\x22" + bytes(400)):
        with pytest.raises(TruncatedAudioError, match="the last FLAC frame is incomplete"):
            layout_of(content)
