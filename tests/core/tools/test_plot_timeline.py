import re
import sys

import numpy as np
import pytest
import soundfile

from amrbench.data.audio import AudioFile, open_audio
from amrbench.errors import DataError
from amrbench.pages.timeline import Timeline, TimelineSystem
from amrbench.tools.plot_timeline import clock, draw
from tests.small_world.data import EVENT_RATE
from tests.small_world.parts import REGISTRY


def timeline(query="a dog barks", *, systems=("ours",), saliency=None, remark="", moments=((1.0, 2.0, 0.5),)):
    rows = [TimelineSystem(name, moments, saliency, 1.0, remark) for name in systems]
    return Timeline("a.wav", query, 60.0, None, rows)


def text_of(picture):
    """Return all text of an SVG file whose letters are no outlines."""
    return [" ".join(text.split()) for text in re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text())]


@pytest.fixture
def letters():
    """Make matplotlib write text as text."""
    with pytest.importorskip("matplotlib").rc_context({"svg.fonttype": "none"}):
        yield


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
    draw(tmp_path / "a.svg", recording, [timeline()], heading=["a"])
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_an_unknown_suffix_is_refused(recording, tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(DataError) as error:
        draw(tmp_path / "a.xyz", recording, [timeline()], heading=["a"])
    assert str(error.value) == (
        f"{tmp_path}/a.xyz: a picture cannot have this suffix. Use .png, .pdf or .svg."
    )


def test_dollar_signs_in_queries_and_names_are_not_formulas(recording, tmp_path):
    pytest.importorskip("matplotlib")
    rows = [timeline(r"a $\foo$ sound", remark=r"$\x$", systems=[r"$\y$", "b"])]
    draw(tmp_path / "a.svg", recording, rows, heading=[r"b$\x$.wav: 1.0 s"])
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
    monkeypatch.setattr("amrbench.experiment.finished_run.open_runs", lambda *_, **__: [])
    picture = tmp_path / name
    code, _, err = amrbench("predict", tmp_path / "a.wav", "class 2", "--plot", picture)
    assert code == 2
    assert err == f"error: {picture}: {text.format(folder=tmp_path)}\n"
    assert not calls


def test_a_picture_has_whole_sentences_models_minutes_and_mel(recording, tmp_path, letters):
    query = "a very long sentence about a dog that barks in the distance while it rains"
    rows = [
        timeline(query, systems=["ours", "cgdetr"], saliency=np.linspace(0, 1, 60), remark="Nothing here.")
    ]
    draw(tmp_path / "a.svg", recording, rows, heading=["a.wav: 60.0 s"])
    text = text_of(tmp_path / "a.svg")
    assert query in " ".join(text)
    assert {"ours", "cgdetr", "a.wav: 60.0 s", "Nothing here.", "1: 0.50", "0:00", "1:00", "Hz (mel)"} <= {
        *text
    }


def test_the_saliency_of_a_model_has_one_scale_for_all_sentences(recording, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.axes import Axes

    drawn = []
    monkeypatch.setattr(
        Axes, "stairs", lambda self, values, *_, **__: drawn.append((values.min(), values.max()))
    )
    rows = [timeline(saliency=np.array([2.0, 4.0])), timeline(saliency=np.array([0.0, 1.0]))]
    draw(tmp_path / "a.svg", recording, rows, heading=[])
    assert drawn == [(0.5, 1.0), (0.0, 0.25)]


def test_moments_without_scores_are_numbered(recording, tmp_path, letters):
    draw(tmp_path / "a.svg", recording, [timeline(moments=[(1.0, 2.0, None)])], heading=[])
    assert "1" in text_of(tmp_path / "a.svg")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3600, "1:00:00"), (36000, "10:00:00")]
)
def test_times_are_those_of_a_clock(seconds, text):
    assert clock(seconds) == text


def test_pictures_need_a_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DataError) as error:
        draw(tmp_path / "a.png", AudioFile(tmp_path, ()), [], heading=[])
    assert str(error.value) == (
        "a picture needs the package matplotlib. Install it with 'pip install amrbench[plot]'."
    )
