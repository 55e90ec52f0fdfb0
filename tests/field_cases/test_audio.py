"""Recordings as people have them: read as long as they are, or refused with the reason."""

import io
import json
import shlex

import numpy as np
import pytest
import soundfile

from amrbench.data import audio
from amrbench.tools import extract_features
from tests.core.files.mp3_files import mp3, without_info
from tests.small_world.data import OneHotEncoder
from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY
from tests.small_world.runs import changed, prepare_splits, run_in, write_yaml

RATE, SECONDS = 16000, 12
SIZE = 2 * RATE * SECONDS
TONE = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE * SECONDS) / RATE)
NOISE = np.random.default_rng(0).normal(0, 0.1, RATE * SECONDS)
UNFINISHED = (
    "does not say how long it is, because it was written to a pipe or not finished; it is read as 12.0 s"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    (folder / "cache").mkdir()
    prepare_splits(folder / "cache")
    write_yaml(folder / "toy.yaml", RECIPE)
    write_yaml(folder / "tiny.yaml", changed(PROTOCOL, seeds=1))
    return run_in(folder)


@pytest.fixture
def predict(amrbench, run, tmp_path, monkeypatch):
    """Return a function that gives the command about a file with some content."""
    monkeypatch.setenv("AMRBENCH_CACHE", str(run.folder.parents[1] / "cache"))
    monkeypatch.setattr("amrbench.cli.run.registry_of", lambda _: REGISTRY)
    encode = OneHotEncoder.audio
    monkeypatch.setattr(OneHotEncoder, "audio", lambda self, wave: encode(self, np.clip(wave, 0, 3)))
    monkeypatch.chdir(tmp_path)

    def call(name, content):
        (tmp_path / name).write_bytes(content)
        return amrbench("predict", name, "class 1", "--run", run.folder, "--top", 1, "--member", "seed 0")

    return call


def wav(wave=TONE, *, rate=RATE, kind="WAV", subtype="PCM_16", order="FILE"):
    file = io.BytesIO()
    soundfile.write(file, wave, rate, subtype, order, kind)
    return file.getvalue()


def sized(size, content=None):
    """Return a WAV whose header has another size of the audio, and its own size by it."""
    content = bytearray(content or wav())
    start = content.index(b"data") + 4
    content[4:8] = min(size + 36, 0xFFFFFFFF).to_bytes(4, "little")
    content[start : start + 4] = size.to_bytes(4, "little")
    return bytes(content)


def wav_around(content):
    """Return a WAV whose codec is MP3."""
    layout = (0x55, 2), (1, 2), (44100, 4), (16000, 4), (1, 2), (0, 2), (12, 2), (bytes(12), 12)
    head = b"".join(v if isinstance(v, bytes) else v.to_bytes(n, "little") for v, n in layout)
    chunks = b"fmt " + len(head).to_bytes(4, "little") + head
    chunks += b"data" + len(content).to_bytes(4, "little") + content
    return b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"WAVE" + chunks


def flac_of_unknown_length():
    content = bytearray(wav(NOISE, kind="FLAC"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


LIST = b"LIST" + (2000).to_bytes(4, "little") + b"x" * 2000
ID3V2 = b"ID3\x04\x00\x00\x00\x00\x08\x00" + b"t" * 1024
ID3V1 = b"TAG".ljust(128, b" ")
RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)

READ = {
    # Name of the case: name of the file, content, seconds, and the note about it.
    "106-wav-size-7fffffff": ("a.wav", sized(0x7FFFFFFF), 12, UNFINISHED),
    "106-wav-size-ffffffff": ("a.wav", sized(0xFFFFFFFF), 12, UNFINISHED),
    "106-wav-size-0": ("a.wav", sized(0), 12, UNFINISHED),
    "106-wav-size-of-sox-pipes": ("a.wav", sized(0x7FFFF000), 12, UNFINISHED),
    "106-wav-size-80000000": ("a.wav", sized(0x80000000), 12, UNFINISHED),
    "106-aiff-size-0": (
        "a.aiff",
        wav(kind="AIFF").replace(b"SSND\x00\x05\xdc\x08", b"SSND\0\0\0\0"),
        12,
        UNFINISHED,
    ),
    "106-rf64-size-0": (
        "a.wav",
        wav(kind="RF64").replace(SIZE.to_bytes(8, "little"), bytes(8)),
        12,
        UNFINISHED,
    ),
    "106-flac-length-0": ("a.flac", flac_of_unknown_length(), 12, UNFINISHED),
    "106-wav-unfinished-float-stereo": (
        "a.wav",
        sized(0xFFFFFFFF, wav(np.stack([TONE, NOISE], 1), subtype="FLOAT")),
        12,
        UNFINISHED,
    ),
    "108-wav-data-one-byte-short": (
        "a.wav",
        sized(SIZE + 2),
        12,
        "lacks the last 2 bytes that its header counts",
    ),
    "108-wav-1-byte": ("a.wav", wav()[:-1], 12, "lacks the last 1 bytes that its header counts"),
    "108-wav-size-of-the-file": ("a.wav", sized(SIZE + 44), 12, "lacks the last 44 bytes"),
    "132-mp3-vbr-no-xing": ("a.mp3", without_info(mp3(44100, 12.0)), 12, ""),
    "133-mp3-vbr-no-xing-uneven": ("a.mp3", without_info(mp3(44100, 12.0, 2)), 12, ""),
    "134-mp3-vbr-no-xing-quiet-first": ("a.mp3", without_info(mp3(44100, 12.0, 1, "AVERAGE")), 12, ""),
    "151-mp3-cbr-no-info-frame": ("a.mp3", without_info(mp3(44100, 12.0, 1, "CONSTANT")), 12, ""),
    **{
        f"mp3-{rate}-{'bare' if bare else 'info'}": (
            "a.mp3",
            without_info(mp3(rate, 5.0)) if bare else mp3(rate, 5.0),
            5,
            "",
        )
        for rate in RATES
        for bare in (True, False)
    },
    "mp3-tags-at-both-ends": ("a.mp3", ID3V2 + without_info(mp3(seconds=5.0)) + ID3V1, 5, ""),
    "mp3-two-tags-in-front": ("a.mp3", ID3V2 * 2 + mp3(seconds=5.0) + ID3V1, 5, ""),
    "mp3-junk-in-front": (
        "a.mp3",
        b"junk" * 300 + mp3(seconds=5.0),
        5,
        "holds 1,200 bytes that are no MPEG audio",
    ),
    "mp3-zeros-in-front": ("a.mp3", bytes(4000) + mp3(seconds=5.0), 5, ""),
    "mp3-named-wav": ("a.wav", without_info(mp3(seconds=5.0)), 5, ""),
    "mp3-joined": (
        "a.mp3",
        mp3(seconds=5.0) * 2,
        10,
        "holds 2 recordings one after another; it is read as 10.0 s",
    ),
    "mp3-joined-with-tags": (
        "a.mp3",
        (ID3V2 + mp3(seconds=5.0) + ID3V1) * 2,
        10,
        "holds 2 recordings one after another",
    ),
    "mp3-joined-without-info": ("a.mp3", without_info(mp3(seconds=5.0)) * 2, 10, ""),
    "mp3-more-than-its-info-frame-counts": (
        "a.mp3",
        mp3(seconds=5.0) + without_info(mp3(seconds=5.0)),
        10,
        "MPEG frames, and its header counts",
    ),
    "mp3-without-info-cut": (
        "a.mp3",
        without_info(mp3(seconds=5.0))[:-30],
        5,
        "ends with an incomplete MPEG frame",
    ),
    "146-wav-size-half": (
        "a.wav",
        sized(SIZE // 2),
        12,
        "holds 384,000 bytes of audio, and its header counts 192,000; it is read as 12.0 s",
    ),
    "146-wav-joined": ("a.wav", wav() * 2, 24, "holds 2 recordings one after another; it is read as 24.0 s"),
    "146-ogg-chained": ("a.ogg", wav(kind="OGG", subtype="VORBIS") * 2, 24, "holds 2 recordings"),
    "146-opus-chained": ("a.opus", wav(kind="OGG", subtype="OPUS") * 2, 24, "holds 2 recordings"),
    "146-flac-joined": ("a.flac", wav(NOISE, kind="FLAC") * 2, 24, "holds 2 recordings"),
    "146-aiff-joined": ("a.aif", wav(kind="AIFF") * 2, 24, "holds 2 recordings"),
    "146-au-more-than-counted": (
        "a.au",
        wav(kind="AU") + b"\1\2" * RATE,
        13,
        "and its header counts 384,000",
    ),
    "149-wav-mp3-inside": ("a.wav", wav_around(without_info(mp3(44100, 5.0))), 5, ""),
    "wav-chunks-after-the-audio": ("a.wav", wav() + LIST, 12, ""),
    "wav-tags-around-the-audio": ("a.wav", ID3V2 + wav() + ID3V2, 12, ""),
    "wav-odd-chunk-without-padding": ("a.wav", wav()[:36] + b"note\5\0\0\0abcde" + wav()[36:], 12, ""),
    "w64-chunk-after-the-audio": (
        "a.w64",
        wav(kind="W64")
        + b"levl\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a"
        + (4024).to_bytes(8, "little")
        + b"x" * 4000,
        12,
        "",
    ),
    "114-wav-int16-range-floats": (
        "a.wav",
        wav(32767 * TONE, subtype="FLOAT"),
        12,
        "has samples up to 9,830, and",
    ),
    "116-wav-opposite-phase": (
        "a.wav",
        wav(np.stack([TONE, -TONE], 1)),
        12,
        "its channels cancel: their mean",
    ),
    "116-wav-nearly-opposite": (
        "a.wav",
        wav(np.stack([TONE, -0.9 * TONE], 1)),
        12,
        "26 dB quieter than they are",
    ),
    "wav-silent": ("a.wav", wav(0 * TONE), 12, "is silent: no sample is above -80 dB"),
    "119-dash-youtube-id": ("-abc_1.wav", wav(), 12, ""),
    "119-dash-and-option-letter": ("-o.x.wav", wav(), 12, ""),
}


@pytest.mark.parametrize(("name", "content", "seconds", "note"), READ.values(), ids=READ)
def test_a_recording_is_read_as_long_as_it_is(predict, name, content, seconds, note):
    code, out, err = predict(name, content)
    assert code == 0, err
    length = float(out.removeprefix(f"{name}: ").split(" s in ")[0])
    assert abs(length - seconds) < 0.11
    notes = [line for line in err.splitlines() if line.startswith("note: ")]
    assert len(notes) == bool(note), notes
    if note:
        assert notes[0].startswith(f"note: {name}: ")
        assert note in notes[0]


NAN = TONE.copy()
NAN[100] = np.nan
M4A = b"\0\0\0\x20ftypM4A \0\0\2\0M4A mp42isom\0\0\0\0" + bytes(2000)

REFUSED = {
    "118-named-mp3-is-m4a": (
        "a.mp3",
        M4A,
        "it is M4A (MPEG-4 audio)). Convert it, e.g. with 'ffmpeg -i a.mp3 -vn",
    ),
    "118-named-wav-is-webm": (
        "a.wav",
        b"\x1aE\xdf\xa3" + bytes(900),
        "it is WebM or Matroska). Convert it, e.g.",
    ),
    "118-named-wav-is-aac": ("a.wav", b"\xff\xf1\x50\x80" + bytes(900), "it is AAC). Convert it, e.g. with"),
    "118-named-flac-is-m4a": ("a.flac", M4A, "ffmpeg -i a.flac -vn a.wav"),
    "wav-truncated": (
        "a.wav",
        wav()[:-5000],
        "truncated: the header promises 384000 bytes of audio, the file has 379000",
    ),
    "wav-adpcm-not-finished": (
        "a.wav",
        sized(0xFFFFFFFF, wav(subtype="IMA_ADPCM")),
        "has a wrong size, and IMA ADPCM",
    ),
    "mp3-truncated": (
        "a.mp3",
        mp3(seconds=5.0)[:-2000],
        "truncated: the header promises 193 MPEG frames, the file has",
    ),
    "flac-truncated": (
        "a.flac",
        wav(NOISE, kind="FLAC")[:-9000],
        "truncated: the header promises 192000 samples",
    ),
    "ogg-truncated": (
        "a.ogg",
        wav(kind="OGG", subtype="VORBIS")[:-200],
        "truncated: the OGG stream has no end mark",
    ),
    "ogg-chained-truncated": (
        "a.ogg",
        wav(kind="OGG", subtype="VORBIS") + wav(kind="OGG", subtype="VORBIS")[:-200],
        "truncated: the OGG stream has no end mark",
    ),
    "wav-joined-of-two-rates": (
        "a.wav",
        wav() + wav(rate=8000),
        "of 16000 and 8000 samples a second. Make a file of",
    ),
    "mp3-joined-of-two-rates": (
        "a.mp3",
        mp3(44100) + mp3(16000),
        "of 44100 and 16000 samples a second. Make a file of",
    ),
    "wav-nan": (
        "a.wav",
        wav(NAN, subtype="FLOAT"),
        "holds samples that are not finite. Export the recording again.",
    ),
    "wav-empty": ("a.wav", wav(TONE[:0]), "the recording has no samples."),
    "mp3-of-zeros": (
        "a.mp3",
        bytes(5000),
        "begins with zeros only, as after an interrupted copy or download.",
    ),
    "mp3-is-a-web-page": ("a.mp3", b"<!DOCTYPE html><html>", "is a web page. The download failed"),
    "119-no-such-file": ("x/../-abc.wav", b"", "is empty"),
}


@pytest.mark.parametrize(("name", "content", "text"), REFUSED.values(), ids=REFUSED)
def test_a_recording_that_cannot_be_read_is_refused(predict, monkeypatch, tmp_path, name, content, text):
    monkeypatch.setattr(audio, "has_pyav", lambda: False)
    (tmp_path / "x").mkdir()
    code, out, err = predict(name, content)
    assert (code, out) == (2, "")
    line = err.splitlines()[-1]
    assert line.startswith(f"error: {name}: ")
    assert text in line


def test_an_m4a_is_read_with_pyav(predict, tmp_path):
    pytest.importorskip("av")
    from tests.core.data.test_media_decoder import write

    content = write(tmp_path / "b.m4a", rate=44100, seconds=5.0).read_bytes()
    for name in ("a.mp3", "a.m4a"):
        code, out, _ = predict(name, content)
        assert (code, out.split(" s in ")[0]) == (0, f"{name}: 5.0")


@pytest.mark.parametrize(
    ("files", "text"),
    [
        pytest.param([], "f: is a folder. Name one recording.", id="123-predict-folder-empty"),
        pytest.param(
            ["a.wav", "notes.txt"],
            "f: is a folder. Name one recording, e.g. one of 'a.wav'.",
            id="123-predict-folder",
        ),
    ],
)
def test_a_folder_is_refused(amrbench, predict, run, tmp_path, files, text):
    (tmp_path / "f").mkdir()
    for name in files:
        (tmp_path / "f" / name).write_bytes(wav())
    code, _, err = amrbench("predict", "f", "a tone", "--run", run.folder, "--top", 2)
    assert (code, err) == (2, f"error: {text}\n")


# ---------------------------------------------------------------- annotated durations


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """Return a function that makes a data set whose recordings are annotated with 12 s."""
    monkeypatch.chdir(tmp_path)
    # Another process would take seconds to start.
    monkeypatch.setattr(extract_features, "run_shards", lambda _, shards, **__: [s.make() for s in shards])

    def make(**contents):
        (tmp_path / "set" / "audio").mkdir(parents=True)
        for split in ("train", "val", "test"):
            row = {
                "qid": f"{split}_1",
                "query": "a tone",
                "vid": split,
                "duration": 12,
                "relevant_windows": [[1, 4]],
            }
            (tmp_path / "set" / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
            (tmp_path / "set" / "audio" / f"{split}.wav").write_bytes(contents.get(split, wav()))

    return make


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        pytest.param(wav(TONE[: 6 * RATE]), "6.0", id="251-verify-audio-length"),
        pytest.param(wav(np.tile(TONE, 2)), "24.0", id="251-audio-longer"),
        pytest.param(without_info(mp3(44100, 5.0)), "5.0", id="251-mp3-without-info"),
    ],
)
def test_a_recording_of_another_length_is_noted(amrbench, dataset, content, seconds):
    dataset(val=content)
    code, out, err = amrbench("data", "verify", "./set")
    line = (
        f"  note  1 recordings are not as long as annotated: 'set/audio/val.wav: {seconds} s, annotated 12 s'"
    )
    assert (code, err) == (0, "")
    assert [text for text in out.splitlines() if "long as" in text] == [line]
    code, _, err = amrbench("data", "extract", "./set", "--encoder", "mini-clap", "--jobs", 1)
    assert code == 0
    notes = [text for text in err.splitlines() if text.startswith("note: ")]
    assert notes == [
        "note: 1 of 3 recordings are not as long as annotated, and runs refuse much longer or shorter ones: "
        f"'set/audio/val.wav: {seconds} s, annotated 12 s'. Download them again, or correct their durations."
    ]


def test_recordings_that_are_as_long_as_annotated_are_not_noted(amrbench, dataset):
    dataset(val=without_info(mp3(44100, 12.0)), test=sized(0xFFFFFFFF))
    code, out, err = amrbench("data", "verify", "./set")
    assert (code, err) == (0, f"note: set/audio/test.wav: {UNFINISHED}.\n")
    assert "long as" not in out


def test_a_truncated_recording_is_a_fault(amrbench, dataset):
    dataset(val=wav()[:-9000])
    code, out, _ = amrbench("data", "verify", "./set")
    text = (
        "set/audio/val.wav: truncated: the header promises 384000 bytes of audio, the file has 375000. Copy "
        "it again."
    )
    assert code == 2
    assert f"  FAULT {text}" in out.splitlines()
    code, _, err = amrbench("data", "extract", "./set", "--encoder", "mini-clap", "--jobs", 1)
    assert (code, err.splitlines()[-1]) == (2, f"error: {text}")


def test_the_command_to_convert_can_be_pasted(tmp_path):
    command = audio.how_to_convert(tmp_path / "it's a test.m4a").split("with '")[1]
    assert shlex.split(command.split(".flac")[0] + ".flac'")[:4:3] == ["ffmpeg", "-vn"]
