import errno
import io
import os
import sys

import numpy as np
import pytest
import soundfile

from amrbench.errors import DataError
from amrbench.experiment.finished_run import open_run
from amrbench.tools.requested_files import RequestedFiles
from tests.small_world.parts import REGISTRY

RATE = 8000
FILLED = "{path}: is there already, and may have been corrected by hand. Name a new or empty file with "


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
        ("--labels", "corrected.txt", FILLED + "--labels, or move this one away."),
        ("--csv", "corrected.txt", FILLED + "--csv, or move this one away."),
        ("--csv", "/dev/null", "/dev/null: is a device, a pipe or a socket. Name a file with --csv."),
    ],
)
def test_nothing_is_predicted_for_a_file_that_cannot_be_written(
    call, tmp_path, monkeypatch, option, name, text
):
    monkeypatch.setattr("amrbench.tools.predict_audio.find_moments", lambda *_, **__: 1 / 0)
    (tmp_path / "corrected.txt").write_text("0\t1\tkept")
    code, _, err = call(option, tmp_path / name)
    assert code == 2
    assert err == f"error: {text.format(path=tmp_path / name, folder=tmp_path)}\n"
    assert (tmp_path / "corrected.txt").read_text() == "0\t1\tkept"


@pytest.mark.parametrize("option", ["--labels", "--csv"])
@pytest.mark.parametrize("name", ["predictions/seed-0.test.jsonl", "annotations.test.jsonl", "recipe.yaml"])
def test_no_file_of_a_run_that_is_read_is_replaced(call, soup_run, option, name):
    file = soup_run.folder / name
    before = file.read_bytes()
    code, _, err = call(option, file)
    assert (code, err) == (
        2,
        f"error: {file}: is an input, so it cannot be the output. Name another output.\n",
    )
    assert file.read_bytes() == before


def test_no_file_of_a_stage_that_is_read_is_replaced(soup_run):
    finished = open_run(
        soup_run.folder, REGISTRY, member="seed 1", cache=soup_run.folder.parents[1] / "cache"
    )
    assert finished.weights.is_file()
    with pytest.raises(DataError) as error:
        RequestedFiles(labels=finished.weights).refuse_unwritable(finished.files())
    assert str(error.value) == (
        f"{finished.weights}: is an input, so it cannot be the output. Name another output."
    )


def test_an_empty_file_may_become_labels_and_an_old_page_a_new_one(call, tmp_path):
    for name in ("a.txt", "a.html"):
        (tmp_path / name).touch()
    (tmp_path / "a.html").write_text("old")
    code, _, _ = call("--labels", tmp_path / "a.txt", "--html", tmp_path / "a.html")
    assert code == 0
    assert len((tmp_path / "a.txt").read_text().splitlines()) == 2
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")


class Full(io.StringIO):
    """An output on a full disk."""

    def flush(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_an_output_that_cannot_be_printed_costs_no_file(call, tmp_path, monkeypatch, form):
    monkeypatch.setattr(sys, "stdout", Full())
    code, _, err = call("--labels", tmp_path / "a.txt", *form)
    assert code == 2
    assert "error: the output of this command cannot be written (No space left on device)." in err
    assert len((tmp_path / "a.txt").read_text().splitlines()) == 2


def test_a_file_that_cannot_be_written_costs_no_output(call, monkeypatch, tmp_path):
    def fail(*_):
        raise DataError("the disk is full.")

    expected = call()[1]
    monkeypatch.setattr("amrbench.tools.requested_files.write_text_atomic", fail)
    code, out, err = call("--labels", tmp_path / "a.txt")
    assert (code, out) == (2, expected)
    assert err.endswith("\nerror: the disk is full.\n")


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
    RequestedFiles().refuse_unwritable([tmp_path / "a.wav"])
    RequestedFiles().write([], 5)
    assert [*tmp_path.iterdir()] == []


def test_a_run_is_named_once(call, soup_run):
    code, _, err = call("--run", soup_run.folder / "." / "")
    assert code == 2
    assert err == f"error: {soup_run.folder}: this run is named twice. Name each once.\n"
