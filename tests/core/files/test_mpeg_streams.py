import pytest

from amrbench.files.audio_stream import AudioLayout, AudioStream, TruncatedAudioError
from amrbench.files.mpeg_streams import mpeg_layout
from tests.core.files.mp3_files import mp3, without_info
from tests.core.files.test_mpeg_frames import frame

TAG = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)


def layout_of(content):
    layout = mpeg_layout(content, 0, len(content))
    assert layout is not None
    return layout


def test_a_file_with_a_right_info_frame_is_read_as_it_is():
    assert layout_of(mp3()) == AudioLayout((AudioStream(),))
    tagged = TAG + mp3()
    assert mpeg_layout(tagged, len(TAG), len(tagged)) == AudioLayout((AudioStream(),))
    assert mpeg_layout(b"no audio", 0, 8) is None


@pytest.mark.parametrize("content", [without_info(mp3()), TAG + TAG + mp3(), b"\0" * 99 + mp3()])
def test_other_files_are_read_behind_an_info_frame(content):
    (stream,) = layout_of(content).streams
    assert len(stream.pieces) == 2
    assert layout_of(content).findings == ()


def test_more_frames_than_the_info_frame_counts_are_noted():
    content = mp3() + without_info(mp3())
    count = int.from_bytes(mp3()[29:33], "big")  # after the header, the side information, name and flags
    layout = layout_of(content)
    assert layout.findings == (f"holds {2 * count} MPEG frames, and its header counts {count}",)
    assert len(layout.streams) == 1


def test_fewer_frames_than_the_info_frame_counts_are_refused():
    for cut in (1, 1000, 3000):
        with pytest.raises(
            TruncatedAudioError, match=r"^the header promises \d+ MPEG frames, the file has \d+$"
        ):
            layout_of(mp3()[:-cut])
    info = mp3()[: len(mp3()) - len(without_info(mp3()))]
    with pytest.raises(TruncatedAudioError, match="the file has 0"):
        layout_of(info)


def test_an_info_frame_may_count_itself():
    content = bytearray(mp3())
    content[29:33] = (int.from_bytes(content[29:33], "big") + 1).to_bytes(4, "big")
    layout = layout_of(bytes(content))
    assert layout.findings == ("holds one MPEG frame less than its header counts",)


def test_a_file_that_ends_within_a_frame_is_noted():
    layout = layout_of(without_info(mp3())[:-50])
    assert layout.findings == ("ends with an incomplete MPEG frame, so the end may be missing",)


def test_joined_files_are_read_one_after_another():
    layout = layout_of(mp3() + TAG + mp3(rate=16000, seconds=2.0))
    assert len(layout.streams) == 2
    assert layout.findings == ("holds 2 recordings one after another",)
    assert len(layout_of(without_info(mp3()) * 2).streams) == 1


def test_bytes_that_are_no_frames_are_noted():
    layout = layout_of(b"junk" * 25 + mp3())
    assert layout.findings == ("holds 100 bytes that are no MPEG audio, which are left out",)


def test_layers_without_info_frames_are_counted():
    content = frame((3, 2, 0)) * 7
    (stream,) = layout_of(content).streams
    assert stream.count == 7 * 1152
