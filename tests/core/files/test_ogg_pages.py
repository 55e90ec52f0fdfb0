import io
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from amrbench.files.audio_stream import AudioLayout, AudioStream, TruncatedAudioError
from amrbench.files.ogg_pages import ogg_layout

NOISE = np.random.default_rng(0).normal(0, 0.1, 80000)


def ogg(subtype="VORBIS", samples=80000):
    file = io.BytesIO()
    soundfile.write(file, NOISE[:samples], 8000, format="OGG", subtype=subtype)
    return file.getvalue()


def layout_of(content):
    return ogg_layout(content, 0, len(content))


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_single_stream_is_read_as_it_is(subtype):
    assert layout_of(ogg(subtype)) == AudioLayout((AudioStream(),))


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_streams_that_follow_one_another_are_all_read(subtype):
    first, second = ogg(subtype), ogg(subtype, 40000)
    layout = layout_of(first + second + first)
    ends = [0, len(first), len(first + second), len(first + second + first)]
    assert [stream.pieces for stream in layout.streams] == [
        (range(start, end),) for start, end in pairwise(ends)
    ]
    assert layout.findings == ("holds 3 recordings one after another",)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("lost", [1, 20, 100, 3000])
def test_a_stream_without_its_end_is_refused(subtype, lost):
    with pytest.raises(TruncatedAudioError, match=r"^the OGG stream has no end mark$"):
        layout_of(ogg(subtype)[:-lost])


def test_bytes_between_pages_are_noted():
    assert layout_of(ogg() + b"junk").findings == ("holds 4 bytes that are no OGG pages, which are left out",)
    assert layout_of(ogg() + b"TAG".ljust(128) + bytes(500)).findings == ()
    assert len(layout_of(ogg() + b"junk" + ogg()).streams) == 2


@pytest.mark.parametrize("lead", [b"", b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)])
def test_a_stream_without_its_beginning_is_refused(lead):
    content = ogg()
    later = content.index(b"OggS", 4)
    with pytest.raises(TruncatedAudioError, match=r"^the OGG stream has no first page$"):
        ogg_layout(lead + content[later:], len(lead), len(lead + content) - later)
