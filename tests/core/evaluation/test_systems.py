import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from amrbench.errors import DataError, RunError
from amrbench.evaluation.baselines import baseline_predictions
from amrbench.evaluation.result import RESULT
from amrbench.evaluation.score_files import score_files
from amrbench.evaluation.systems import (
    Compared,
    is_run,
    prediction_files,
    read_system,
    read_systems,
    refuse_other_queries,
    run_folder,
)
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.predictions import read_predictions, write_predictions
from amrbench.functional.metrics import STANDARD, Metric, score
from amrbench.notes import Note
from tests.core.files.test_typed_lines import piped
from tests.small_world.runs import seal
from tests.small_world.written_runs import make_run, poor_and_good, queries


@pytest.fixture
def runs(tmp_path):
    return poor_and_good(tmp_path)


def refused(path, truth=None, error=RunError):
    with pytest.raises(error) as refusal:
        read_system(path, STANDARD, truth)
    return str(refusal.value)


@pytest.mark.parametrize("name", ["R1@0.5", "R5@0.7", "R1@0.3", "mAP", "mAP@0.5", "mAP@0.75", "mAP@0.6"])
def test_values_of_queries_average_to_the_metric(runs, name):
    poor, _ = runs
    metric = Metric.parse(name)
    values = read_system(poor, [metric]).singles.values
    truth = read_annotations(poor / "annotations.test.jsonl")
    predictions = read_predictions(poor / "predictions/seed-1.test.jsonl")
    assert values.shape == (2, len(truth), 1)
    assert values[1].mean() == pytest.approx(score(predictions, truth, metrics=[metric]).metrics[name])


def test_a_run_may_be_given_by_its_result(runs):
    poor, good = runs
    assert is_run(poor)
    assert is_run(poor / RESULT)
    assert run_folder(poor / RESULT) == run_folder(poor) == poor
    system = read_system(good / RESULT, STANDARD)
    assert (system.name, system.location) == ("good", good)
    assert [soup.name for soup in system.soups] == ["uniform"]


def test_prediction_files_are_those_of_seeds_of_a_folder_or_itself(runs, tmp_path):
    poor, _ = runs
    seeds = [poor / f"predictions/seed-{seed}.test.jsonl" for seed in (0, 1)]
    assert prediction_files(poor) == prediction_files(poor / RESULT) == seeds
    assert prediction_files(seeds[0]) == [seeds[0]]
    with pytest.raises(RunError, match="nowhere.jsonl: there is no run and no prediction file"):
        prediction_files(tmp_path / "nowhere.jsonl")


def test_the_folder_of_predictions_of_a_run_is_refused_with_the_run(runs, tmp_path, monkeypatch):
    folder, truth = runs[0] / "predictions", runs[0] / "annotations.test.jsonl"
    message = (
        f"{folder}: this is the folder of predictions of the run {runs[0]}: its baselines would count as "
        "seeds. Give the run itself, or single files."
    )
    assert refused(folder, truth) == message
    (tmp_path / "link").symlink_to(folder)
    assert refused(tmp_path / "link", truth) == message
    monkeypatch.chdir(folder)
    assert refused(Path(), truth) == message


def test_a_folder_called_predictions_that_is_of_no_run_is_read(runs, tmp_path):
    shutil.copytree(runs[0] / "predictions", tmp_path / "predictions")
    assert len(prediction_files(tmp_path / "predictions")) == 3


def test_a_folder_is_read_without_hidden_files_and_with_compressed_ones(tmp_path):
    for name in ("b.jsonl.gz", "a.JSONL", "._a.JSONL", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in prediction_files(tmp_path)] == ["a.JSONL", "b.jsonl.gz"]
    (tmp_path / "b.jsonl").write_bytes(b"")
    with pytest.raises(RunError) as error:
        prediction_files(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/b.jsonl.gz: {tmp_path}/b.jsonl has the same name but for its suffix. Move one of them "
        "away."
    )


# ---------------------------------------------------------------- what is refused


def test_an_unfinished_run_is_refused(runs):
    (runs[1] / RESULT).unlink()
    assert is_run(runs[1]), "its recipe.yaml is there"
    assert f"{runs[1]}: there is no finished run" in refused(runs[1])


def test_a_run_without_seeds_is_refused(tmp_path):
    assert "has no seeds" in refused(make_run(tmp_path / "one", seeds=0))


def test_predictions_that_do_not_give_the_metrics_of_the_run_are_refused(runs):
    poor, good = runs
    file = poor / "predictions/seed-0.test.jsonl"
    file.write_bytes((good / "predictions/seed-0.test.jsonl").read_bytes())
    seal(poor)
    message = refused(poor)
    assert message.startswith(f"{file}: gives R1@0.5 ")
    assert "A file was changed" in message


def test_predictions_for_other_annotations_are_refused_with_both_files(runs, tmp_path):
    truth = tmp_path / "truth.jsonl"
    write_annotations(truth, queries()[:-1])
    file = runs[0] / "predictions/seed-0.test.jsonl"
    assert refused(file, truth, error=DataError).startswith(f"{file} against {truth}: ")
    own = runs[0] / "annotations.test.jsonl"
    own.write_bytes(truth.read_bytes())
    seal(runs[0])
    assert refused(runs[0], error=DataError).startswith(f"{file} against {own}: ")


def test_predictions_for_other_sentences_are_noted(runs, tmp_path):
    asked = queries()
    file, truth = tmp_path / "p.jsonl", runs[0] / "annotations.test.jsonl"
    repeated = [
        replace(moments, query=f" {query.query.upper()}. ")
        for moments, query in zip(baseline_predictions(asked)["always 0-10 s"], asked, strict=True)
    ]
    write_predictions(file, repeated)
    read_system(file, STANDARD, truth)
    write_predictions(file, [replace(repeated[0], query="a cat"), *repeated[1:]])
    message = (
        f"{file}: 1 predictions are for other sentences than those of the annotations: {asked[0].qid!r} is "
        f"'a cat' there and {asked[0].query!r} in the annotations. They are scored all the same."
    )
    with pytest.warns(Note, match=re.escape(message)):
        read_system(file, STANDARD, truth)
    with pytest.warns(Note, match=re.escape(message)):
        score_files(file, truth)


def test_annotations_of_several_files_may_come_from_a_pipe(runs):
    files = [run / "predictions/seed-1.test.jsonl" for run in runs]
    truth = runs[0] / "annotations.test.jsonl"
    with piped(truth.read_bytes()) as pipe:
        systems = read_systems(files, STANDARD, truth=pipe)
    for system, known in zip(systems, read_systems(files, STANDARD, truth=truth), strict=True):
        assert system.singles.values.tolist() == known.singles.values.tolist()


def test_other_queries_are_refused_by_name():
    one = {name: Compared(name, ((1.0, 2.0),)) for name in "abce"}
    two = {"a": one["a"], "b": Compared("b", ()), "e": Compared("f", ((1.0, 2.0),)), "d": Compared("d", ())}
    refuse_other_queries(Path("one"), one, Path("two"), dict(reversed(one.items())))
    with pytest.raises(RunError) as error:
        refuse_other_queries(Path("one"), one, Path("two"), two)
    assert str(error.value) == (
        "one and two do not answer the same queries: only one has 'c'; only two has 'd'; 1 queries are about "
        "other recordings, e.g. 'e' about 'e' and 'f'; 'b' have other windows. Take predictions for the same "
        "annotations."
    )
