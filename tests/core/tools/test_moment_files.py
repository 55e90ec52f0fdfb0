import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.errors import DataError
from amrbench.experiment.finished_run import open_run
from amrbench.files.annotations import read_annotations
from amrbench.files.audacity_labels import parse_audacity_labels
from amrbench.files.labels import Remarks
from amrbench.tools.moment_files import (
    file_words,
    labels_text,
    refuse_used_folder,
    table_text,
    write_clips,
)
from amrbench.tools.predict_audio import Answer, find_moments
from tests.small_world.data import EVENT_RATE
from tests.small_world.parts import REGISTRY

MOMENTS = np.array([[2.0, 5.0, 0.75], [0.0, 1.0, 0.5], [3.0, 3.0, 0.25]])


@pytest.fixture
def result(soup_run, tmp_path):
    """Answers of a finished run about a ramp of 20 seconds."""
    path = tmp_path / "a.b.wav"
    soundfile.write(path, np.linspace(-2, 2, 20 * EVENT_RATE), EVENT_RATE, subtype="FLOAT")
    found = find_moments(path, ["class 1"], open_run(soup_run.folder, REGISTRY))
    answers = (Answer("a dog,\tbarks", MOMENTS, None, 0.875), Answer("Hündchen / bellt", MOMENTS[:1], None))
    return replace(found, answers=answers)


def test_labels_are_read_as_annotations_again(result, tmp_path):
    labels = parse_audacity_labels(tmp_path / "a.txt", labels_text([result], 2), Remarks())
    assert [(label.start, label.end, label.query) for label in labels] == [
        (0.0, 1.0, "a dog, barks"),
        (2.0, 5.0, "Hündchen / bellt"),
        (2.0, 5.0, "a dog, barks"),
    ]


def of_run(result, folder):
    """Return the answers as those of another run with the same recipe."""
    return replace(result, finished=replace(result.finished, folder=Path(folder)))


def test_labels_of_several_models_name_them(result):
    lines = labels_text([of_run(result, "runs/x"), of_run(result, "runs/y")], 1).splitlines()
    assert lines[-1] == "2.000000\t5.000000\ta dog, barks (toy, soup, y)"


def test_labels_and_tables_of_two_runs_with_one_folder_name_have_their_paths(result):
    several = [of_run(result, folder) for folder in ("runs/x", "from-gpu/x")]
    names = ["toy, soup, runs/x", "toy, soup, from-gpu/x"]
    labels = labels_text(several, 1).splitlines()
    assert {line.partition(" (")[2].rstrip(")") for line in labels} == set(names)
    rows = csv.DictReader(io.StringIO(table_text(several, 1)))
    assert [*dict.fromkeys(row["model"] for row in rows)] == names


def test_a_table_has_a_row_for_each_moment(result):
    rows = list(csv.DictReader(io.StringIO(table_text([result], 2))))
    assert len(rows) == 3
    assert rows[1] == {
        "vid": "a.b",
        "query": "a dog,\tbarks",
        "start": "0.0",
        "end": "1.0",
        "duration": "20.0",
        "rank": "2",
        "score": "0.5",
        "above_random": "0.875",
        "model": "toy, soup",
        "run": str(result.finished.folder),
        "protocol": "tiny",
        "stand_ins": "one-hot stands in for absent",
    }
    assert rows[2]["above_random"] == ""


@pytest.mark.parametrize(
    ("name", "vid"),
    [("talk 3.5", "talk 3.5"), ("talk 3.5.WAV", "talk 3.5"), ("talk.2026-05-01", "talk.2026-05-01")],
)
def test_only_suffixes_of_audio_are_left_out_of_the_id_of_a_recording(result, name, vid):
    named = replace(result, recording=replace(result.recording, path=Path(name)))
    rows = csv.DictReader(io.StringIO(table_text([named], 1)))
    assert {row["vid"] for row in rows} == {vid}


def test_a_table_becomes_annotations(result, tmp_path, amrbench):
    (tmp_path / "moments.csv").write_text(table_text([replace(result, answers=result.answers[1:])], 5))
    code, _, _ = amrbench("data", "convert", tmp_path / "moments.csv", "-o", tmp_path / "moments.jsonl")
    assert code == 0
    (query,) = read_annotations(tmp_path / "moments.jsonl")
    assert (query.vid, query.query, query.windows) == ("a.b", "Hündchen / bellt", ((2, 5),))


def test_clips_are_the_samples_of_the_moments(result, tmp_path):
    folder = tmp_path / "clips"
    refuse_used_folder(folder)
    assert write_clips(folder, [result], 3) == 4
    assert sorted(path.name for path in folder.iterdir()) == [
        "01-a-dog-barks-1-0m02s.wav",
        "01-a-dog-barks-2-0m00s.wav",
        "01-a-dog-barks-3-0m03s.wav",
        "02-hündchen-bellt-1-0m02s.wav",
    ]
    samples, rate = soundfile.read(folder / "01-a-dog-barks-1-0m02s.wav")
    expected = np.clip(np.linspace(-2, 2, 40), -1, 1)[4:10]
    assert rate == EVENT_RATE
    np.testing.assert_allclose(samples, expected, atol=1e-4)
    assert soundfile.info(folder / "01-a-dog-barks-3-0m03s.wav").frames == 0


def test_clips_of_several_models_are_in_folders(result, tmp_path):
    other = replace(result, finished=replace(result.finished, member=result.finished.result.row("seed 0")))
    refuse_used_folder(tmp_path / "clips")
    write_clips(tmp_path / "clips", [result, other], 1)
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == ["toy-seed-0", "toy-soup"]


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("runs/x", "from-gpu/x"), ["toy-soup-from-gpu-x", "toy-soup-runs-x"]),
        (("a/x", "a-x", "A x"), ["toy-soup-a-x", "toy-soup-a-x-2", "toy-soup-x"]),
        (("a/" + "b" * 200, "c/" + "b" * 200), ["toy-soup-a-" + "b" * 89, "toy-soup-c-" + "b" * 89]),
        (("b" * 200 + "/x", "b" * 200 + "/./y"), ["toy-soup-x", "toy-soup-y"]),
        (("b" * 200 + "1/x", "b" * 200 + "2/x"), ["toy-soup-" + "b" * 91, "toy-soup-" + "b" * 91 + "-2"]),
    ],
)
def test_no_clip_of_a_run_replaces_that_of_another(result, tmp_path, folders, names):
    folder = tmp_path / "clips"
    refuse_used_folder(folder)
    assert write_clips(folder, [of_run(result, own) for own in folders], 1) == 2 * len(folders)
    assert sorted(path.name for path in folder.iterdir()) == names
    assert all(len(list(path.iterdir())) == 2 for path in folder.iterdir())


def test_clips_are_not_mixed_with_others(tmp_path):
    (tmp_path / "01-a-1-0m00s.wav").touch()
    with pytest.raises(DataError) as error:
        refuse_used_folder(tmp_path)
    assert str(error.value) == f"{tmp_path}: holds files already. Name a new or empty folder with --clips."


@pytest.mark.parametrize(
    ("sentence", "words"),
    [("../../etc/passwd", "etc-passwd"), ("犬が吠える", "犬が吠える"), ("???", ""), ("a" * 99, "a" * 40)],
)
def test_names_of_clips_are_words(sentence, words):
    assert file_words(sentence) == words
