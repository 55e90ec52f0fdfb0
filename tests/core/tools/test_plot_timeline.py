import sys

import numpy as np
import pytest
import soundfile

from amrbench.data.audio import AudioFile, open_audio
from amrbench.errors import DataError
from amrbench.tools.plot_timeline import draw, spectrogram
from tests.small_world.data import EVENT_RATE
from tests.small_world.parts import REGISTRY

ROWS = [("x" * 40, np.array([[1.0, 2.0, 0.5]]), np.linspace(0, 1, 60, dtype=np.float32))]


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.ones(60 * EVENT_RATE, np.float32), EVENT_RATE, subtype="FLOAT")
    return open_audio(path)


def test_the_command_writes_a_picture_of_its_answers(soup_run, recording, tmp_path, monkeypatch, amrbench):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("amrbench.discovery.load_registry", lambda **_: REGISTRY)
    picture = tmp_path / "a.png"
    code, _, _ = amrbench("predict", recording.path, "class 2", "--run", soup_run.folder, "--plot", picture)
    assert code == 0
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_format_is_that_of_the_suffix(recording, tmp_path):
    pytest.importorskip("matplotlib")
    draw(tmp_path / "a.svg", recording, ROWS, heading=["a"], hop=1.0)
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_an_unknown_suffix_is_refused(recording, tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(DataError) as error:
        draw(tmp_path / "a.xyz", recording, ROWS, heading=["a"], hop=1.0)
    assert str(error.value) == (
        f"{tmp_path}/a.xyz: a picture cannot have this suffix. Use .png, .pdf or .svg."
    )


def test_dollar_signs_in_queries_and_names_are_not_formulas(recording, tmp_path):
    pytest.importorskip("matplotlib")
    rows = [(r"a $\foo$ sound", np.array([[0.0, 1.0, 0.5]]), None)]
    draw(tmp_path / "a.svg", recording, rows, heading=[r"b$\x$.wav: 1.0 s"], hop=1.0)
    assert (tmp_path / "a.svg").is_file()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "a picture cannot have this suffix. Use .png, .pdf or .svg."),
        ("none/a.png", "there is no folder '{folder}/none'. Make it, or choose another path."),
    ],
)
def test_no_recording_is_read_for_a_picture_that_cannot_be_written(
    tmp_path, monkeypatch, amrbench, name, text
):
    pytest.importorskip("matplotlib")
    calls = []
    monkeypatch.setattr("amrbench.tools.predict_audio.find_moments", lambda *_, **__: calls.append(1))
    monkeypatch.setattr("amrbench.discovery.load_registry", lambda **_: REGISTRY)
    picture = tmp_path / name
    code, _, err = amrbench("predict", tmp_path / "a.wav", "class 2", "--plot", picture)
    assert code == 2
    assert err == f"error: {picture}: {text.format(folder=tmp_path)}\n"
    assert not calls


def test_a_spectrogram_reads_a_bounded_part(tmp_path):
    path = tmp_path / "a.flac"
    times = np.arange(16000 * 60) / 16000
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 1000 * times), 16000)
    decibels = spectrogram(open_audio(path), columns=100)
    assert decibels.shape == (1025, 100)
    assert (decibels.argmax(0) == 128).all(), "1 kHz of 8"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 1000 * times[:700]), 16000)
    short = spectrogram(open_audio(path), columns=100)
    assert short.shape == (1025, 1)


def test_pictures_need_a_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DataError) as error:
        draw(tmp_path / "a.png", AudioFile(tmp_path, ()), [], heading=[], hop=1.0)
    assert str(error.value) == (
        "a picture needs the package matplotlib. Install it with 'pip install amrbench[plot]'."
    )
