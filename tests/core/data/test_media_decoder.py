import sys

import numpy as np
import pytest

from amrbench.data import audio
from amrbench.data.audio import open_audio
from amrbench.data.media_decoder import MediaDecoder, has_pyav
from amrbench.errors import DataError
from amrbench.notes import collected_notes
from tests.core.files.mp3_files import tone

av = pytest.importorskip("av")


def add_sound(container, codec, rate, seconds, channels):
    stream = container.add_stream(codec, rate=rate, layout="mono" if channels == 1 else "stereo")
    wave = np.stack([tone(rate, seconds, 440.0 + 220 * channel) for channel in range(channels)])
    samples = (32767 * np.clip(wave, -1, 1)).astype(np.int16)
    for start in range(0, samples.shape[1], 960):
        block = np.ascontiguousarray(samples[:, start : start + 960])
        frame = av.AudioFrame.from_ndarray(block, format="s16p", layout=stream.layout.name)
        frame.sample_rate, frame.pts = rate, start
        yield from stream.encode(frame)
    yield from stream.encode(None)


def add_picture(container, seconds):
    stream = container.add_stream("mpeg4", rate=5)
    stream.width = stream.height = 32
    for number in range(5 * seconds):
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8), format="rgb24")
        yield from stream.encode(frame)
    yield from stream.encode(None)


def write(path, codec="aac", rate=16000, seconds=4.0, *, channels=1, tracks=1, picture=0, late=0.0):
    """Write a file with sound tracks and a picture of some seconds; the sound begins late."""
    options = {"movflags": "faststart"} if path.suffix in (".m4a", ".mp4") else {}
    with av.open(str(path), "w", options=options) as container:
        packets = list(add_picture(container, picture)) if picture else []
        for _ in range(tracks):
            sound = list(add_sound(container, codec, rate, seconds, channels))
            for packet in sound:
                packet.pts += round(late / packet.time_base)
                packet.dts += round(late / packet.time_base)
            packets += sound
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.m4a", "aac", 16000),
        ("a.m4a", "aac", 44100),
        ("a.mp3", "aac", 16000),
        ("a.webm", "libopus", 48000),
        ("a.mka", "libopus", 48000),
        ("a.mov", "pcm_s16le", 8000),
        ("a.aac", "aac", 32000),
        ("a.ts", "aac", 32000),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_is_as_long_as_it_is(tmp_path, name, codec, rate, channels):
    real = tmp_path / (name if name != "a.mp3" else "a.m4a")
    path = write(real, codec, rate, channels=channels).rename(tmp_path / name)
    file = open_audio(path)
    assert file.rate == rate
    assert abs(file.seconds - 4) < 0.1
    waveform = file.read()
    assert len(waveform) == file.samples
    both = [tone(rate, 4.0, 440.0 + 220 * channel) for channel in range(channels)]
    # The encoder's delay is cut off where the container says it.
    delays = (0, 1024, 2048) if name.endswith(("aac", "ts")) else (0,)
    piece = np.mean(both, axis=0)[rate // 2 : 3 * rate]
    starts = [rate // 2 + delay + shift for delay in delays for shift in range(-9, 9)]
    fits = [np.corrcoef(piece, waveform[start:][: len(piece)])[0, 1] for start in starts]
    assert max(fits) > 0.8


def test_parts_are_those_of_the_whole(tmp_path):
    decoder = MediaDecoder(write(tmp_path / "a.m4a"))
    whole = decoder.read(0, decoder.samples)
    for start in (20000, 19000, 100, 40000, 0):
        assert np.array_equal(decoder.read(start, 3000), whole[start : start + 3000])


def test_the_sound_of_a_video(tmp_path):
    file = open_audio(write(tmp_path / "a.mp4", picture=8))
    assert abs(file.seconds - 4) < 0.1


def noted(path):
    with collected_notes() as notes:
        open_audio(path)
    return notes


def test_several_tracks_are_noted(tmp_path):
    path = write(tmp_path / "a.mka", "libopus", 48000, tracks=2)
    assert noted(path) == [f"{path}: has 2 sound tracks, of which the first is read; it is read as 4.0 s."]


def test_sound_that_begins_late_is_noted(tmp_path):
    path = write(tmp_path / "a.mkv", "libopus", 48000, picture=4, late=1.5)
    assert noted(path) == [
        f"{path}: has a picture that begins 1.5 s before the sound; times count from the sound; it is read "
        "as 4.0 s."
    ]


def refusal(path):
    with pytest.raises(DataError) as error:
        open_audio(path)
    return str(error.value)


def test_a_video_without_sound(tmp_path):
    path = write(tmp_path / "a.mp4", picture=2, tracks=0)
    assert refusal(path) == f"{path}: has no sound."


@pytest.mark.parametrize(("name", "codec", "rate"), [("a.m4a", "aac", 16000), ("a.webm", "libopus", 48000)])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
def test_a_truncated_file_is_refused(tmp_path, name, codec, rate, part):
    path = write(tmp_path / name, codec, rate, 8.0)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    assert refusal(path).startswith(f"{path}: truncated")


def test_a_list_of_other_files_is_not_opened(tmp_path):
    write(tmp_path / "secret.m4a")
    path = tmp_path / "a.m4a"
    path.write_text("#EXTM3U\n#EXTINF:1,\nsecret.m4a\n")
    assert refusal(path).startswith(f"{path}: is text: ")
    with pytest.raises(DataError):
        MediaDecoder(path)


def test_pyav_may_be_missing(monkeypatch):
    assert has_pyav()
    monkeypatch.setitem(sys.modules, "av", None)
    assert not has_pyav()
    assert ".m4a" not in audio.readable_suffixes()


def write_with(path, old, new):
    """Write a Matroska file with other bytes in a tag."""
    content = write(path, "libopus", 48000).read_bytes()
    assert old in content
    assert len(old) == len(new)
    path.write_bytes(content.replace(old, new))
    return path


def test_tags_need_not_be_utf_8(tmp_path):
    path = write_with(tmp_path / "a.mka", b"Lavf", b"\xe9avf")
    assert abs(open_audio(path).seconds - 4) < 0.1


@pytest.mark.parametrize("damaged", [b"00000004", b"99:99:xx", b"00:00:-4", b"\xff0:00:04"[:8], b":::::::4"])
def test_a_damaged_length_in_a_tag_is_not_believed(tmp_path, damaged):
    path = write_with(tmp_path / "a.mka", b"00:00:04", damaged)
    assert abs(open_audio(path).seconds - 4) < 0.1


def test_a_length_in_a_tag_is_believed(tmp_path):
    path = write_with(tmp_path / "a.mka", b"00:00:04", b"00:01:04")
    assert refusal(path) == (
        f"{path}: truncated: the container promises 64.0 s of sound, decoding ends after 4.0 s. Copy or "
        "download it again."
    )
