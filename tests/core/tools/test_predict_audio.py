import json
import os
import sys

import numpy as np
import pytest
import soundfile
from amrbench.tools.windows import windows_of

from amrbench.api import predict
from amrbench.data.audio import AudioFile
from amrbench.errors import DataError, RecipeError, RunError
from amrbench.experiment.finished_run import find_run, open_run
from amrbench.experiment.run import Settings, run
from amrbench.files.predictions import read_predictions
from amrbench.registry import Registry
from amrbench.tools import plot_timeline
from amrbench.tools.predict_audio import find_moments
from tests.core.world import PARTS, PROTOCOL, RATE, RECIPE, REGISTRY, SECONDS, OneHot, ToyDataset, write_yaml


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A finished run of the toy world with a soup, and its store."""
    place = tmp_path_factory.mktemp("own")
    write_yaml(place / "toy.yaml", RECIPE | {"soup": "mean"})
    write_yaml(place / "tiny.yaml", PROTOCOL)
    settings = Settings(jobs=1, out=place / "runs", cache=place / "cache")
    return place, run(place / "toy.yaml", place / "tiny.yaml", registry=REGISTRY, settings=settings)


def test_seeds_of_a_run_with_a_cache_of_its_own_can_be_asked(world, tmp_path):
    place, finished = world
    path = recorded(tmp_path / "a.wav", long_recording(1))
    found = predict(
        *(path, ["class 2"]), run=finished.folder, member="seed 1", cache=place / "cache", registry=REGISTRY
    )
    assert len(found.answers) == 1


@pytest.fixture
def done(world, monkeypatch):
    place, finished = world
    monkeypatch.setenv("AMRBENCH_CACHE", str(place / "cache"))
    return finished


def recorded(path, waveform):
    soundfile.write(path, waveform, RATE, subtype="FLOAT")
    return path


def ask(path, queries, finished):
    return find_moments(path, queries, finished)


@pytest.mark.parametrize("member", ["soup", "seed 1"])
def test_a_recording_of_the_data_set_is_answered_as_in_the_run(done, tmp_path, member):
    finished = open_run(done.folder, REGISTRY, member=member)
    row = done.results.row(member)
    told = {each.qid: each for each in read_predictions(done.folder / row.predictions)}
    for index in range(3):
        recording = ToyDataset("target", 12).recording("test", index)
        path = recorded(tmp_path / f"{index}.wav", recording.waveform)
        answers = ask(path, [query.query for query in recording.queries], finished)
        assert answers.windows == 1
        for query, answer in zip(recording.queries, answers.answers, strict=True):
            np.testing.assert_allclose(answer.moments[:, :2], told[query.qid].windows, atol=1e-4)
            np.testing.assert_allclose(answer.moments[:, 2], told[query.qid].scores, atol=1e-4)


def long_recording(minutes):
    """Silence with one short event of class 2."""
    wave = np.zeros(60 * minutes * RATE, np.float32)
    wave[100 * RATE : 103 * RATE] = 2
    return wave


def test_a_long_recording_is_heard_in_windows(done, tmp_path, monkeypatch):
    read, lengths = AudioFile.read, []

    def counted(self, start=0, stop=None):
        found = read(self, start, stop)
        lengths.append(len(found))
        return found

    monkeypatch.setattr(AudioFile, "read", counted)
    path = recorded(tmp_path / "long.wav", long_recording(20))
    finished = open_run(done.folder, REGISTRY)
    answers = ask(path, ["class 2", "class 1"], finished)
    assert answers.windows > 100
    assert max(lengths) <= SECONDS * RATE + 1, "memory does not grow with the length"
    start, end, _ = answers.answers[0].moments[0]
    assert 99 <= start < end <= 104
    assert (answers.answers[0].moments[:, 1] <= 1200).all()
    scores = answers.answers[0].moments[:, 2]
    assert (np.diff(scores) <= 0).all()


def test_what_a_window_finds_is_what_it_finds_alone(done, tmp_path):
    finished = open_run(done.folder, REGISTRY)
    wave = long_recording(3)
    (best, *_) = ask(recorded(tmp_path / "a.wav", wave), ["class 2"], finished).answers[0].moments
    piece = wave[99 * RATE : 111 * RATE]
    (alone, *_) = ask(recorded(tmp_path / "b.wav", piece), ["class 2"], finished).answers[0].moments
    assert abs(best[0] - alone[0] - 99) < 2
    assert abs(best[1] - alone[1] - 99) < 2


def test_the_command_tells_run_protocol_and_stand_ins(done, tmp_path, monkeypatch, amrbench):
    path = recorded(tmp_path / "a.wav", long_recording(1))
    monkeypatch.setattr("amrbench.cli.registry_of", lambda without: REGISTRY)

    def call(*arguments):
        code, out, _ = amrbench("predict", path, *arguments)
        assert code == 0
        return out

    lines = call("class 2", "class 1", "--run", done.folder, "--top", 2).splitlines()
    assert lines[:4] == [
        f"{path}: 60.0 s in {len(windows(60))} windows",
        f"toy, soup, of {done.folder}",
        "Protocol tiny: For tests.",
        "Stand-ins: one-hot stands in for wished. A stand-in knows only the sounds it was trained on.",
    ]
    assert lines[5] == "class 2"
    assert lines[9] == "class 1"
    assert len(lines) == 12
    told = json.loads(call("class 2", "--run", done.folder, "--json", "--top", 3))
    assert told.keys() == {
        *("recording", "seconds", "windows", "run", "recipe", "member"),
        *("protocol", "protocol_about", "stand_ins", "queries"),
    }
    assert told["stand_ins"] == "one-hot stands in for wished"
    assert [each["query"] for each in told["queries"]] == ["class 2"]
    assert told["queries"][0]["moments"][0].keys() == {"start", "end", "score"}
    assert len(told["queries"][0]["moments"]) == 3
    monkeypatch.chdir(done.folder.parent.parent)
    assert json.loads(call("class 2", "--json"))["run"] == f"runs/{done.folder.name}"


def test_python_gives_what_the_command_gives(done, tmp_path, monkeypatch):
    path = recorded(tmp_path / "a.wav", long_recording(1))
    wanted = ask(path, ["class 2"], open_run(done.folder, REGISTRY))
    monkeypatch.chdir(done.folder.parent.parent)
    for where in (None, done.folder):
        found = predict(path, ["class 2"], run=where, registry=REGISTRY)
        assert found.as_json(10)["queries"] == wanted.as_json(10)["queries"]


def windows(seconds):
    return windows_of(seconds, SECONDS)


def test_the_newest_finished_run_answers(tmp_path):
    for name, age in (("old", 100), ("new", 50)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text("{}")
        os.utime(tmp_path / name / "metrics.json", (1e9 - age, 1e9 - age))
    (tmp_path / "unfinished").mkdir()
    assert find_run(None, below=tmp_path) == tmp_path / "new"
    assert find_run(tmp_path / "old", below=tmp_path) == tmp_path / "old"


def test_there_is_no_finished_run(tmp_path):
    with pytest.raises(RunError) as error:
        find_run(None, below=tmp_path)
    assert str(error.value) == (
        f"there is no finished run in {str(tmp_path)!r}. Run a recipe first "
        "('amrbench run recipes/ours3.yaml'), or name one with --run."
    )


def test_members_that_a_run_does_not_have(done):
    with pytest.raises(RunError) as error:
        open_run(done.folder, REGISTRY, member="seed 7")
    assert str(error.value) == f"{done.folder}: the run has no member 'seed 7'. It has: seed 0, seed 1, soup."


def test_weights_that_are_no_longer_there(done, monkeypatch, tmp_path):
    monkeypatch.setenv("AMRBENCH_CACHE", str(tmp_path))
    finished = open_run(done.folder, REGISTRY, member="seed 0")
    with pytest.raises(RunError) as error:
        ask(recorded(tmp_path / "a.wav", long_recording(1)), ["class 1"], finished)
    assert str(error.value) == (
        f"{finished.weights}: the weights of 'seed 0' are no longer there. Run the recipe again; it trains "
        "what is missing."
    )
    assert open_run(done.folder, REGISTRY).criterion, "a soup lies in the folder of the run"


def test_a_recipe_with_a_single_seed_answers_too(world, monkeypatch, tmp_path):
    place, _ = world
    *earlier, last = RECIPE["stages"]
    write_yaml(tmp_path / "once.yaml", RECIPE | {"stages": [*earlier, last | {"seeds": "one"}]})
    settings = Settings(jobs=1, out=tmp_path / "runs", cache=place / "cache")
    finished = run(tmp_path / "once.yaml", place / "tiny.yaml", registry=REGISTRY, settings=settings)
    monkeypatch.setenv("AMRBENCH_CACHE", str(place / "cache"))
    opened = open_run(finished.folder, REGISTRY)
    assert opened.member.member == "seed 0"
    assert opened.weights.is_file()
    path = recorded(tmp_path / "a.wav", long_recording(1))
    assert len(ask(path, ["class 2"], opened).answers[0].moments)


def test_parts_that_are_not_installed(done):
    with pytest.raises(RecipeError) as error:
        open_run(done.folder, Registry.of(*(each for each in PARTS if each.use != "cut")))
    assert str(error.value).startswith(
        f"{done.folder}/lock.json: the recipe of this run cannot be built here: no ranking part is called "
        "'cut'."
    )


def test_a_lock_that_is_none(done, tmp_path):
    (tmp_path / "metrics.json").write_bytes((done.folder / "metrics.json").read_bytes())
    (tmp_path / "lock.json").write_text("[]")
    with pytest.raises(RunError, match=r"lock\.json: not as a run wrote it \("):
        open_run(tmp_path, REGISTRY)


def damaged(done, place, metrics=lambda found: None, lock=lambda found: None):
    """Write metrics.json and lock.json of a run with changes to a folder, and return it."""
    for name, change in (("metrics.json", metrics), ("lock.json", lock)):
        content = json.loads((done.folder / name).read_text())
        change(content)
        (place / name).write_text(json.dumps(content))
    return place


def told(folder, member=""):
    with pytest.raises(RunError) as error:
        open_run(folder, REGISTRY, member=member)
    return str(error.value)


def test_a_lock_that_lacks_the_weights_of_a_seed(done, tmp_path):
    folder = damaged(done, tmp_path, lock=lambda found: found["weights"].pop("seed 1"))
    assert told(folder, "seed 1") == (
        f"{folder}/lock.json: not as a run wrote it (no weights of 'seed 1'). Move the folder away and run "
        "the recipe again."
    )
    assert open_run(folder, REGISTRY, member="seed 0").member.member == "seed 0"


def test_results_without_any_model(done, tmp_path):
    def means(found):
        found["rows"] = [row for row in found["rows"] if row["kind"] == "mean"]

    assert told(damaged(done, tmp_path, metrics=means)) == (
        f"{tmp_path}/metrics.json: not as a run wrote it (no soup, single or seed). Move the folder away and "
        "run the recipe again."
    )


def test_a_run_may_be_named_by_its_results(done):
    assert open_run(done.folder / "metrics.json", REGISTRY).folder == done.folder


def refusal(path, queries, done):
    with pytest.raises(DataError) as error:
        ask(path, queries, open_run(done.folder, REGISTRY))
    return str(error.value)


def test_recordings_and_queries_that_cannot_be_used(done, tmp_path):
    path = recorded(tmp_path / "a.wav", np.zeros(1, np.float32))
    assert refusal(path, ["class 1"], done) == (
        f"{path}: lasts 0.50 s, but the encoder gives a row for each 1 s. Use a longer recording."
    )
    assert refusal(tmp_path / "no.wav", ["x"], done) == f"{tmp_path}/no.wav: there is no such audio file."
    assert refusal(path, [" "], done) == "a query is blank. Say in a sentence what shall be found."


def test_samples_that_an_encoder_cannot_hear(done, tmp_path, monkeypatch):
    heard = OneHot.audio

    def overflowing(self, waveform):
        rows = heard(self, np.minimum(waveform, 1))
        return np.where(waveform[::RATE, None] > 1e20, np.float32(np.inf), rows)

    monkeypatch.setattr(OneHot, "audio", overflowing)
    wave = long_recording(1)
    wave[30 * RATE : 31 * RATE] = 1e25
    path = recorded(tmp_path / "loud.wav", wave)
    assert refusal(path, ["class 2"], done) == (
        f"{path}: the features at 30 s are not finite; the samples there are too large, or the encoder is "
        "broken. Export the recording again, with samples from -1 to 1."
    )


def test_a_picture_of_the_answers(done, tmp_path, monkeypatch, amrbench):
    pytest.importorskip("matplotlib")
    path = recorded(tmp_path / "a.wav", long_recording(1))
    monkeypatch.setattr("amrbench.cli.registry_of", lambda without: REGISTRY)
    picture = tmp_path / "a.png"
    code, _, _ = amrbench("predict", path, "class 2", "--run", done.folder, "--plot", picture)
    assert code == 0
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    rows = [("x" * 40, np.array([[1.0, 2.0, 0.5]]), np.linspace(0, 1, 60, dtype=np.float32))]
    with pytest.raises(DataError) as error:
        plot_timeline.draw(tmp_path / "a.xyz", AudioFile(path, RATE, 120), rows, heading=["a"], hop=1.0)
    assert str(error.value) == (
        f"{tmp_path}/a.xyz: no picture can be written with this end. Use .png, .pdf or .svg."
    )
    plot_timeline.draw(tmp_path / "a.svg", AudioFile(path, RATE, 120), rows, heading=["a"], hop=1.0)


def test_dollar_signs_in_queries_and_names_are_no_formulas(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros(8000), 8000)
    rows = [(r"a $\foo$ sound", np.array([[0.0, 1.0, 0.5]]), None)]
    plot_timeline.draw(
        tmp_path / "a.svg", AudioFile(path, 8000, 8000), rows, heading=[r"b$\x$.wav: 1.0 s"], hop=1.0
    )
    assert (tmp_path / "a.svg").is_file()


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("a.txt", "no picture can be written with this end. Use .png, .pdf or .svg."),
        ("none/a.png", "there is no folder '{folder}/none'. Make it, or choose another place."),
    ],
)
def test_no_recording_is_heard_for_a_picture_that_cannot_be_written(
    done, tmp_path, monkeypatch, amrbench, place, why
):
    pytest.importorskip("matplotlib")
    heard = []
    monkeypatch.setattr("amrbench.tools.predict_audio.find_moments", lambda *_, **__: heard.append(1))
    monkeypatch.setattr("amrbench.cli.registry_of", lambda without: REGISTRY)
    picture = tmp_path / place
    code, _, err = amrbench("predict", tmp_path / "a.wav", "class 2", "--run", done.folder, "--plot", picture)
    assert code == 2
    assert err == f"error: {picture}: {why.format(folder=tmp_path)}\n"
    assert not heard


def test_a_spectrogram_reads_a_bounded_part(tmp_path):
    path = tmp_path / "a.flac"
    at = np.arange(16000 * 60) / 16000
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 1000 * at), 16000)
    found = plot_timeline.spectrogram(AudioFile(path, 16000, len(at)), columns=100)
    assert found.shape == (1025, 100)
    assert (found.argmax(0) == 128).all(), "1 kHz of 8"
    short = plot_timeline.spectrogram(AudioFile(path, 16000, 700), columns=100)
    assert short.shape == (1025, 1)


def test_pictures_need_a_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DataError) as error:
        plot_timeline.draw(tmp_path / "a.png", AudioFile(tmp_path, 1, 1), [], heading=[], hop=1.0)
    assert (
        str(error.value)
        == "a picture needs the package matplotlib. Install it with 'pip install amrbench[plot]'."
    )
