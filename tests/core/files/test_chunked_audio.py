import io

import numpy as np
import pytest
import soundfile

from amrbench.files.audio_stream import TruncatedAudioError
from amrbench.files.chunked_audio import chunked_layout
from tests.core.files.mp3_files import mp3

NOISE = np.random.default_rng(0).normal(0, 0.1, 8000)
SIZE = 16000
UNCOMPRESSED = [
    *[(kind, order) for kind in ("WAV", "AIFF", "AU") for order in ("LITTLE", "BIG")],
    ("WAVEX", "FILE"),
    ("RF64", "FILE"),
    ("W64", "FILE"),
    ("CAF", "FILE"),
]
UNFINISHED = "does not say how long it is, because it was written to a pipe or not finished"


def written(kind="WAV", order="FILE", wave=NOISE):
    file = io.BytesIO()
    soundfile.write(file, wave, 8000, "PCM_16", order, kind)
    return file.getvalue()


def sized(size, kind="WAV", content=None):
    """Return a file with another size in the header of its audio."""
    content = bytearray(content or written(kind))
    if kind == "AU":
        start, length, order = 8, 4, "big"
    else:
        name = {"AIFF": b"SSND"}.get(kind, b"data")
        start = content.index(name) + {"W64": 16}.get(kind, 4)
        length, order = {"W64": (8, "little"), "CAF": (8, "big"), "AIFF": (4, "big")}.get(kind, (4, "little"))
    content[start : start + length] = size.to_bytes(length, order)
    return bytes(content)


def layout_of(content):
    layout = chunked_layout(content, 0, len(content))
    assert layout is not None
    return layout


def bytes_of(content):
    """Return the number of bytes of the audio of each stream, and what people must know."""
    layout = layout_of(content)
    return [len(stream.samples) for stream in layout.streams], list(layout.findings)


@pytest.mark.parametrize(("kind", "order"), UNCOMPRESSED)
def test_a_whole_file_is_read_as_it_is(kind, order):
    (stream,) = layout_of(written(kind, order)).streams
    assert (stream.pieces, len(stream.samples), stream.sized) == ((), SIZE, True)


@pytest.mark.parametrize(("kind", "order"), UNCOMPRESSED)
@pytest.mark.parametrize("lost", [66, 1000, 15000])
def test_the_audio_that_a_header_promises_must_be_there(kind, order, lost):
    with pytest.raises(TruncatedAudioError) as error:
        layout_of(written(kind, order)[:-lost])
    assert str(error.value) == f"the header promises {SIZE} bytes of audio, the file has {SIZE - lost}"


@pytest.mark.parametrize(("kind", "order"), UNCOMPRESSED)
@pytest.mark.parametrize("lost", [1, 2, 6])
def test_a_few_samples_may_lack(kind, order, lost):
    assert bytes_of(written(kind, order)[:-lost]) == (
        [SIZE - lost],
        [f"lacks the last {lost} bytes that its header counts"],
    )


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "RF64", "W64", "CAF"])
@pytest.mark.parametrize("count", [1, 3])
def test_chunks_after_the_audio_are_no_audio(kind, count):
    head = {
        "W64": b"levl\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a" + (24 + 2000).to_bytes(8, "little"),
        "AIFF": b"ANNO" + (2000).to_bytes(4, "big"),
        "CAF": b"info" + (2000).to_bytes(8, "big"),
    }.get(kind, b"LIST" + (2000).to_bytes(4, "little"))
    assert bytes_of(written(kind) + (head + b"x" * 2000) * count) == ([SIZE], [])


@pytest.mark.parametrize(
    "after",
    [
        b"ID3\x04\x00\x00\x00\x00\x10\x00" + b"x" * 2048,
        b"LIST" + (9000).to_bytes(4, "little") + b"x" * 3000,
        b"bytes that are too few to be audio" * 9,
        bytes(4096),
        b"LIST\x05\0\0\0title\0" + b"ID3 \x00\x10\0\0" + b"y" * 4096,
        b"LIST\x05\0\0\0title" + b"ID3 \x00\x10\0\0" + b"y" * 4096,
    ],
)
def test_tags_cut_chunks_and_padding_are_no_audio(after):
    assert bytes_of(written() + after) == ([SIZE], [])


def test_what_follows_the_last_chunk_is_noted():
    assert bytes_of(written() + b"LIST\x04\0\0\0name" + b"\x81" * 3000) == (
        [SIZE],
        ["holds 3,000 bytes that are no audio, which are left out"],
    )


def test_an_odd_size_may_lack_its_padding():
    odd = written(wave=NOISE[:1])[:36] + b"fact\x05\0\0\0abcde" + written()[36:]
    assert bytes_of(odd) == ([SIZE], [])
    padded = written()[:36] + b"fact\x05\0\0\0abcde\0" + written()[36:]
    assert bytes_of(padded) == ([SIZE], [])


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "W64", "CAF"])
@pytest.mark.parametrize("size", [0, 1 << 31, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF, 0xFFFFFFFF - 36])
def test_a_header_may_not_be_finished(kind, size):
    sizes, findings = bytes_of(sized(size, kind))
    assert sizes == [SIZE]
    assert findings == ([] if kind == "AU" and size == 0xFFFFFFFF else [UNFINISHED])


@pytest.mark.parametrize("kind", ["W64", "CAF"])
def test_a_size_of_all_ones_means_the_end_of_the_file(kind):
    sizes, findings = bytes_of(sized((1 << 64) - 1, kind))
    assert sizes == [SIZE]
    assert findings == ([] if kind == "CAF" else [UNFINISHED])


def test_the_sizes_of_rf64_have_64_bits():
    content = bytearray(written("RF64"))
    assert content[-SIZE - 4 : -SIZE] == b"\xff" * 4
    start = content.index(b"ds64") + 16
    content[start : start + 8] = (SIZE + 1000).to_bytes(8, "little")
    with pytest.raises(TruncatedAudioError):
        layout_of(bytes(content))
    content[start : start + 8] = bytes(8)
    assert bytes_of(bytes(content)) == ([SIZE], [UNFINISHED])


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "W64", "CAF"])
def test_more_audio_than_the_header_counts_is_read(kind):
    lead = {"AIFF": 8, "CAF": 4, "W64": 24}.get(kind, 0)
    assert bytes_of(sized(SIZE // 2 + lead, kind)) == (
        [SIZE],
        ["holds 16,000 bytes of audio, and its header counts 8,000"],
    )


def test_a_recording_without_samples_is_not_unfinished():
    assert bytes_of(written(wave=NOISE[:0])) == ([0], [])
    assert bytes_of(sized(0, content=written(wave=NOISE[:0]) + b"LIST\x04\0\0\0name")) == ([0], [])


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "W64", "CAF", "RF64"])
def test_joined_files_are_read_one_after_another(kind):
    content = written(kind)
    layout = layout_of(content * 3)
    assert [stream.pieces for stream in layout.streams] == [
        (range(len(content) * number, len(content) * (number + 1)),) for number in range(3)
    ]
    assert [len(stream.samples) for stream in layout.streams] == [SIZE] * 3
    assert layout.findings == ("holds 3 recordings one after another",)


def test_joined_files_that_were_not_finished_are_separated():
    sizes, findings = bytes_of(sized(0xFFFFFFFF) * 2)
    assert sizes == [SIZE, SIZE]
    assert findings == ["holds 2 recordings one after another", UNFINISHED, UNFINISHED]


def test_mp3_inside_a_wav_is_counted():
    head = b"\x55\0\1\0" + (44100).to_bytes(4, "little") + (16000).to_bytes(4, "little") + b"\1\0\0\0"
    chunk = b"fmt " + len(head).to_bytes(4, "little") + head
    content = mp3()
    wav = b"RIFF\0\0\0\0WAVE" + chunk + b"data" + len(content).to_bytes(4, "little") + content
    (stream,) = layout_of(wav).streams
    assert len(stream.pieces) == 2
    assert stream.samples is None


def test_chunk_sizes_beyond_the_file_end_the_search():
    for size in (0, 23, 1 << 63):
        content = bytearray(written("W64"))
        content[56:64] = size.to_bytes(8, "little")
        chunked_layout(bytes(content), 0, len(content))


@pytest.mark.parametrize(
    "content",
    [b"", b"RIF", b"RIFF", b".snd", b"no audio at all", b"RIFF\0\0\0\0AVI LIST", b"FORM\0\0\0\0ILBM"],
)
def test_another_file_has_no_layout(content):
    assert chunked_layout(content, 0, len(content)) is None


@pytest.mark.parametrize("start", [0, 1, 23, 1 << 31])
@pytest.mark.parametrize("size", [0, 8])
def test_the_audio_of_an_au_begins_after_its_header(start, size):
    content = b".snd" + start.to_bytes(4, "big") + size.to_bytes(4, "big") + b".snd" * 300
    try:
        layout = chunked_layout(content, 0, len(content))
    except TruncatedAudioError:
        return
    assert layout is not None
    assert all(stream.samples.start >= 24 for stream in layout.streams)
