import json

import numpy as np
import pytest

from amrbench.errors import AmrbenchError, DataError, RunError
from amrbench.evaluation.analysis import analyze
from amrbench.evaluation.compare import compare
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.predictions import read_predictions, write_predictions
from amrbench.functional.metrics import metrics_at, score
from tests.oracle.reference_predictions import published
from tests.small_world.written_runs import make_run, poor_and_good, queries


@pytest.fixture
def runs(tmp_path):
    return poor_and_good(tmp_path)


@pytest.fixture
def files(tmp_path):
    """Write published predictions of two systems and their annotations."""
    cases = [published(name) for name in ("castella_val_best_dc689cd", "castella_val_best_c2b90e2")]
    for name, case in zip(("old", "new"), cases, strict=True):
        write_predictions(tmp_path / f"{name}.jsonl", case.predictions)
    write_annotations(tmp_path / "truth.jsonl", cases[0].truth)
    return tmp_path / "old.jsonl", tmp_path / "new.jsonl", tmp_path / "truth.jsonl"


# ---------------------------------------------------------------- what is computed


def test_the_recall_of_files_is_that_of_the_scorer(files):
    old, new, truth = files
    analysis = analyze([old, new], truth=truth)
    metrics = metrics_at((1, 2, 3, 5, 10))
    for model, file in zip(analysis.models, (old, new), strict=True):
        known = score(read_predictions(file), read_annotations(truth), metrics=metrics).metrics
        assert model.recipe == file.name
        assert [own.k for own in model.oracle] == [1, 2, 3, 5, 10]
        for own in model.oracle:
            for iou in (0.5, 0.7):
                assert own.recall[iou] == pytest.approx(known[f"R{own.k}@{iou}"], abs=1e-9)
        assert model.groups[0].by == "mean window, s"
        total = sum(own.queries * own.metrics["mAP"] for own in model.groups if own.by == "windows")
        assert total / analysis.queries == pytest.approx(known["mAP"], abs=1e-9)


def test_the_seeds_of_a_run_are_pooled(runs):
    poor, good = runs
    models = {(model.recipe, model.member): model for model in analyze(runs).models}
    assert list(models) == [("poor", "mean of 2 seeds"), ("good", "mean of 2 seeds"), ("good", "uniform")]
    truth = poor / "annotations.test.jsonl"
    singles = [
        analyze([good / f"predictions/seed-{seed}.test.jsonl"], truth=truth).models[0] for seed in (0, 1)
    ]
    pooled = models["good", "mean of 2 seeds"]
    for index, own in enumerate(pooled.oracle):
        assert own.recall[0.7] == pytest.approx(np.mean([one.oracle[index].recall[0.7] for one in singles]))
    assert pooled.calibration[0].moments == sum(one.calibration[0].moments for one in singles)
    assert pooled.errors[0].matched == pytest.approx(np.mean([one.errors[0].matched for one in singles]))
    for own, *parts in zip(pooled.groups, *(one.groups for one in singles), strict=True):
        assert own.metrics == pytest.approx(
            {name: np.mean([part.metrics[name] for part in parts]) for name in own.metrics}
        )


def test_disagreements_have_the_differences_of_the_comparison(runs):
    poor, good = runs
    analysis = analyze([good], against=poor)
    rows = [
        row for row in compare([good], against=poor, metrics=["R1@0.5", "R1@0.7"]).lines if row.difference
    ]
    assert [own.difference for own in analysis.disagreements] == [row.difference for row in rows]
    assert [own.metric for own in analysis.disagreements] == [row.metric for row in rows]
    assert [own.second for own in analysis.disagreements] == [row.against for row in rows]
    for own in analysis.disagreements:
        assert own.both + own.only_first + own.only_second + own.neither == pytest.approx(analysis.queries)
        more = 100 * (own.only_first - own.only_second) / analysis.queries
        assert own.difference.mean == pytest.approx(more)


def test_chains_of_their_own_are_resampled_as_in_the_comparison(tmp_path):
    sources = [make_run(tmp_path / name, shift=shift, chains="own") for name, shift in (("a", 0), ("b", 50))]
    (row,) = [row for row in compare(sources, metrics=["R1@0.5"]).lines if row.difference]
    assert analyze(sources, ious=[0.5]).disagreements[0].difference == row.difference


def test_one_system_disagrees_with_none(runs):
    assert analyze([runs[0]]).disagreements == ()


def test_ceilings_are_computed_for_the_steps_of_predictions_too(files):
    old, new, truth = files
    analysis = analyze([old, new], truth=truth, steps=[4.0])
    assert [model.step for model in analysis.models] == [1.0, 1.0]
    assert [own.step for own in analysis.ceilings] == [1.0, 4.0]
    assert analysis.ceilings[0].recall == {0.5: 100, 0.7: 100}
    assert analysis.ceilings[1].overlap < 100


def test_calibration_is_left_out_where_scores_are_no_probabilities(files):
    old, _, truth = files
    assert [own.iou for own in analyze([old], truth=truth).models[0].calibration] == [0.5, 0.7]
    rows = [json.loads(line) for line in old.read_text().splitlines()]
    for row in rows:
        row["pred_relevant_windows"] = [window[:2] for window in row["pred_relevant_windows"]]
    old.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert analyze([old], truth=truth).models[0].calibration == ()


def test_thresholds_can_be_chosen(files):
    old, new, truth = files
    analysis = analyze([old, new], truth=truth, ious=[0.3, 0.3])
    assert {iou for own in analysis.models[0].oracle for iou in own.recall} == {0.3}
    assert [own.metric for own in analysis.disagreements] == ["R1@0.3"]


def test_keys_can_be_chosen(files):
    old, _, truth = files
    rows = [
        json.loads(line) | {"no": index % 20} for index, line in enumerate(truth.read_text().split("\n")[:-1])
    ]
    truth.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "no" not in {own.by for own in analyze([old], truth=truth).models[0].groups}
    groups = [own for own in analyze([old], truth=truth, keys=["no"]).models[0].groups if own.by == "no"]
    assert len(groups) == 20


def with_other_keys(folder, run):
    """Return predictions of a run, and its annotations with a key more and longer recordings."""
    rows = [json.loads(line) for line in (run / "annotations.test.jsonl").read_text().splitlines()]
    rows = [row | {"kind": ("dog", "cat")[index % 2], "duration": 70.0} for index, row in enumerate(rows)]
    (folder / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = folder / "file.jsonl"
    file.write_bytes((run / "predictions/seed-0.test.jsonl").read_bytes())
    return file, folder / "truth.jsonl"


def test_the_groups_of_all_systems_are_those_of_the_first(tmp_path, runs):
    file, truth = with_other_keys(tmp_path, runs[1])
    analysis = analyze([runs[0], file], truth=truth)
    run, other = ([(own.by, own.value, own.queries) for own in model.groups] for model in analysis.models)
    assert run == other
    assert "kind" not in {by for by, _, _ in run}
    assert analysis.notes[-1] == (
        "Groups of queries are those of the annotations of poor; those of file.jsonl give others by "
        "'recording, s', 'kind'."
    )
    one = analyze([runs[1] / "predictions/seed-0.test.jsonl"], truth=runs[1] / "annotations.test.jsonl")
    assert analysis.models[1].groups == one.models[0].groups


def test_keys_that_only_the_first_system_has_group_all_systems(tmp_path, runs):
    file, truth = with_other_keys(tmp_path, runs[1])
    analysis = analyze([runs[0]], against=file, truth=truth, keys=["kind"])
    assert all([own.queries for own in model.groups][-2:] == [60, 60] for model in analysis.models)
    assert analysis.notes[-1].endswith("those of poor give others by 'recording, s', 'kind'.")
    text = "no query has the key 'kind'; they have no additional keys."
    assert refused(DataError, runs[0], file, truth=truth, keys=["kind"]) == text


def test_systems_with_the_same_groups_need_no_note(runs):
    assert not any("Groups" in note for note in analyze(runs, keys=[]).notes)


# ---------------------------------------------------------------- the heading, and what is refused


def test_the_heading_names_protocol_and_stand_ins(runs):
    assert analyze(runs).notes == (
        "Protocol tiny: For tests.",
        "Stand-ins: mini stands in for clap.",
        "120 queries, 40 recordings.",
    )


def test_few_recordings_are_noted_where_intervals_are_shown(tmp_path):
    asked = queries(recordings=5)
    one, two = (make_run(tmp_path / name, asked=asked, shift=shift) for name, shift in (("a", 0), ("b", 9)))
    note = "Recordings: only 5, so the interval is too narrow (docs/comparing.md)."
    assert analyze([one, two]).notes[-1] == note
    assert note not in analyze([one]).notes


def test_it_is_plain_values_as_json(runs):
    content = json.loads(json.dumps(analyze(runs).as_json()))
    assert list(content) == [
        "protocol",
        "queries",
        "recordings",
        "notes",
        "models",
        "ceilings",
        "disagreements",
    ]
    assert content["models"][0]["oracle"][0]["recall"].keys() == {"0.5", "0.7"}


def refused(error, *sources, **options):
    with pytest.raises(error) as refusal:
        analyze(sources, **options)
    return str(refusal.value)


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), 3601.0])
def test_a_step_that_makes_no_sense_is_refused(runs, step):
    assert refused(AmrbenchError, runs[0], steps=[step]) == (
        f"a grid with a step of {step:g} s makes no sense; give seconds above 0 and up to 3600."
    )


def test_a_threshold_that_makes_no_sense_is_refused(runs):
    text = "IoU threshold 1.5 makes no sense; give a number above 0 and up to 1."
    assert refused(AmrbenchError, runs[0], ious=[1.5]) == text


def test_what_cannot_be_compared_cannot_be_analysed(runs, files):
    assert "do not answer the same queries" in refused(RunError, runs[0], files[0], truth=files[2])
    assert "Prediction files need the annotations too" in refused(RunError, files[0])
    assert "no query has the key 'kind'" in refused(DataError, runs[0], keys=["kind"])
