import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amrbench.files.mpeg_frames import counted_info_frame, mpeg_audio, starts_with_frames
from tests.core.files.mp3_files import mp3, without_info

KINDS = {
    # Version and layer bits, rate index: samples of a frame, rate.
    (3, 1, 0): (1152, 44100),
    (3, 1, 1): (1152, 48000),
    (3, 1, 2): (1152, 32000),
    (2, 1, 0): (576, 22050),
    (2, 1, 2): (576, 16000),
    (0, 1, 2): (576, 8000),
    (3, 2, 0): (1152, 44100),
    (2, 2, 1): (1152, 24000),
    (3, 3, 0): (384, 44100),
    (2, 3, 2): (384, 16000),
}
MPEG1 = {
    1: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    2: [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    3: [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
}
MPEG2 = {
    1: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    3: [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
}
MPEG2[2] = MPEG2[1]


def frame(kind, bitrate=5, padding=0, mode=0, rng=None):
    """Return a frame of noise without byte 255, computed as the standard says: samples / 8 * bits / rate."""
    version, layer, rate_index = kind
    samples, rate = KINDS[kind]
    bits = 1000 * (MPEG1 if version == 3 else MPEG2)[layer][bitrate]
    slot = 4 if layer == 3 else 1
    size = samples * bits // (8 * slot * rate) * slot + padding * slot
    head = bytes(
        [0xFF, 0xE0 | version << 3 | layer << 1 | 1, bitrate << 4 | rate_index << 2 | padding << 1, mode << 6]
    )
    rng = rng or random.Random(0)
    return head + bytes(rng.randrange(255) for _ in range(size - 4))


def counted(content):
    audio = mpeg_audio(content, 0, len(content))
    return [(section.kind.rate, section.kind.samples, section.frames) for section in audio.sections], audio


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_frames_of_any_bit_rate_are_counted(kind, data):
    frames = data.draw(st.lists(st.tuples(st.integers(1, 14), st.integers(0, 1)), min_size=3, max_size=12))
    rng = random.Random(len(frames))
    content = b"".join(frame(kind, *options, rng=rng) for options in frames)
    sections, audio = counted(content)
    samples, rate = KINDS[kind]
    assert sections == [(rate, samples, len(frames))]
    assert (audio.other_bytes, audio.cut) == (0, False)
    assert audio.sections[0].runs == [range(len(content))]
    assert starts_with_frames(content, 0, len(content))


@given(before=st.binary(max_size=300), between=st.binary(max_size=300), after=st.binary(max_size=300))
@example(before=b"", between=b"\xff", after=b"")
def test_bytes_around_the_frames_are_no_frames(before, between, after):
    frames = frame((3, 1, 0)) * 5
    sections, audio = counted(before + frames + between + frames + after)
    assert sections == [(44100, 1152, 10)]
    assert audio.other_bytes <= len(before + between + after)
    assert sum(map(len, audio.sections[0].runs)) == 2 * len(frames)


def test_zeros_and_tags_are_not_counted_as_other_bytes():
    frames = frame((3, 1, 0)) * 5
    sections, audio = counted(bytes(1000) + frames + b"TAG".ljust(128) + frames + bytes(5000))
    assert sections == [(44100, 1152, 10)]
    assert audio.other_bytes == 0


@pytest.mark.parametrize("left", [4, 10, 200])
def test_an_incomplete_last_frame_is_not_counted(left):
    frames = frame((3, 1, 0)) * 5
    sections, audio = counted(frames + frame((3, 1, 0))[:left])
    assert sections == [(44100, 1152, 5)]
    assert audio.cut


def test_frames_of_another_kind_begin_a_section():
    content = frame((3, 1, 0)) * 5 + frame((3, 1, 0), mode=3) * 4 + frame((2, 1, 2)) * 3
    sections, _ = counted(content)
    assert sections == [(44100, 1152, 5), (44100, 1152, 4), (16000, 576, 3)]


def test_a_free_format_has_frames_as_long_as_the_first():
    def free(padding):
        return bytes([0xFF, 0xFB, padding << 1, 0]) + bytes(700 + padding)

    sections, audio = counted(b"".join(map(free, [0, 1, 0, 0, 1, 1])))
    assert sections == [(44100, 1152, 6)]
    assert (audio.other_bytes, audio.cut) == (0, False)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000, 48000])
@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
def test_the_info_frame_of_an_encoder_counts_as_we_do(rate, mode):
    content = mp3(rate, 2.0, mode=mode)
    (section,) = mpeg_audio(content, 0, len(content)).sections
    assert section.info is not None
    assert (section.info.frames, section.info.delay) == (section.frames, 576)
    bare = without_info(content)
    (section,) = mpeg_audio(bare, 0, len(bare)).sections
    assert section.info is None


def test_an_info_frame_that_we_write_is_read_again():
    for kind in [kind for kind in KINDS if kind[1] == 1]:
        for mode in (0, 3):
            frames = frame(kind, mode=mode) * 5
            kind_of_it = mpeg_audio(frames, 0, len(frames)).sections[0].kind
            info = counted_info_frame(kind_of_it, frames[:4], 5, 576)
            (section,) = mpeg_audio(info + frames, 0, len(info + frames)).sections
            assert (section.frames, section.info.frames, section.info.delay) == (5, 5, 576)


def test_a_vbri_frame_says_the_number_of_frames():
    vbri = bytearray(frame((3, 1, 0), bitrate=9))
    vbri[36:54] = b"VBRI" + bytes(10) + (4).to_bytes(4, "big")
    sections, audio = counted(bytes(vbri) + frame((3, 1, 0)) * 4)
    assert sections == [(44100, 1152, 4)]
    assert (audio.sections[0].info.frames, audio.sections[0].info.delay) == (4, None)


@given(content=st.binary(max_size=2000))
def test_any_bytes_end(content):
    audio = mpeg_audio(content, 0, len(content))
    assert audio.other_bytes <= len(content)
