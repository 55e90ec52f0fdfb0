import numpy as np
import pytest
import soundfile

from amrbench.tools.requested_files import RequestedFiles
from tests.small_world.parts import REGISTRY

RATE = 8000


@pytest.fixture
def call(soup_run, tmp_path, monkeypatch, amrbench):
    """Return a function that predicts in a recording with some options."""
    monkeypatch.setattr("amrbench.discovery.load_registry", lambda **_: REGISTRY)
    path = tmp_path / "a.wav"
    soundfile.write(path, np.ones(15 * RATE, np.float32), RATE, subtype="FLOAT")

    def predict(*options):
        return amrbench("predict", path, "class 1", "--run", soup_run.folder, "--top", 2, *options)

    return predict


def test_the_command_writes_all_files_at_once(call, tmp_path):
    pytest.importorskip("matplotlib")
    names = {"--html": "a.html", "--plot": "a.svg", "--labels": "a.txt", "--csv": "a.csv", "--clips": "clips"}
    code, out, _ = call(*(word for option, name in names.items() for word in (option, tmp_path / name)))
    assert code == 0
    assert out == call()[1]
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    assert len((tmp_path / "a.txt").read_text().splitlines()) == 2
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 3
    assert len([*(tmp_path / "clips").iterdir()]) == 2


@pytest.mark.parametrize(
    ("option", "name", "text"),
    [
        ("--html", "a.png", "{path}: a page cannot have this suffix. Use .html."),
        ("--html", "no/a.html", "{path}: there is no folder '{folder}/no'. Make it, or choose another path."),
        ("--labels", "no/a", "{path}: there is no folder '{folder}/no'. Make it, or choose another path."),
        ("--csv", "no/a", "{path}: there is no folder '{folder}/no'. Make it, or choose another path."),
        ("--clips", ".", "{folder}: holds files already. Name a new or empty folder with --clips."),
        ("--labels", "a.wav", "{path}: is an input, so it cannot be the output. Name another output."),
        ("--csv", "a.wav", "{path}: is an input, so it cannot be the output. Name another output."),
        ("--labels", ".", "{folder}: is a folder. Name a file with --labels."),
        ("--csv", ".", "{folder}: is a folder. Name a file with --csv."),
        ("--html", ".", "{folder}: is a folder. Name a file with --html."),
        ("--plot", ".", "{folder}: is a folder. Name a file with --plot."),
        ("--csv", "/dev/null", "/dev/null: is a device, a pipe or a socket. Name a file with --csv."),
    ],
)
def test_nothing_is_predicted_for_a_file_that_cannot_be_written(
    call, tmp_path, monkeypatch, option, name, text
):
    monkeypatch.setattr("amrbench.tools.predict_audio.find_moments", lambda *_, **__: 1 / 0)
    code, _, err = call(option, tmp_path / name)
    assert code == 2
    assert err == f"error: {text.format(path=tmp_path / name, folder=tmp_path)}\n"


@pytest.mark.parametrize(
    ("one", "two"), [("--labels", "--csv"), ("--labels", "--clips"), ("--html", "--clips")]
)
def test_a_path_is_named_by_one_option(call, tmp_path, monkeypatch, one, two):
    monkeypatch.setattr("amrbench.tools.predict_audio.find_moments", lambda *_, **__: 1 / 0)
    path = tmp_path / "a.html"
    code, _, err = call(one, path, two, tmp_path / "." / "a.html")
    assert code == 2
    assert err == f"error: {path}: is named by {one} and {two}. Name a path for each.\n"
    assert not path.exists()


def test_nothing_is_written_that_was_not_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    RequestedFiles().refuse_unwritable(tmp_path / "a.wav")
    RequestedFiles().write([], 5)
    assert [*tmp_path.iterdir()] == []


def test_a_run_is_named_once(call, soup_run):
    code, _, err = call("--run", soup_run.folder / "." / "")
    assert code == 2
    assert err == f"error: {soup_run.folder}: this run is named twice. Name each once.\n"
