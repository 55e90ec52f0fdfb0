import numpy as np
import pytest

from amrbench.evaluation.analysis import analyze
from amrbench.evaluation.compare import compare
from amrbench.evaluation.systems import read_systems
from amrbench.files.annotations import write_annotations
from amrbench.files.predictions import write_predictions
from amrbench.functional.metrics import Metric
from amrbench.pages.score_sections import (
    CURVES,
    IOUS,
    analysis_section,
    calibration_section,
    differences_section,
    groups_section,
    oracle_section,
    recall_section,
    scores_section,
)
from amrbench.types import Moments
from tests.core.pages.read_page import tables_of, values_of
from tests.small_world.written_runs import poor_and_good, queries

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return poor_and_good(tmp_path_factory.mktemp("runs"))


def test_a_missing_score_is_an_empty_cell():
    body = scores_section(
        [{"recipe": "a", "member": "b", "mAP": 1.0}, {"recipe": "", "member": "c", "mAP": ""}]
    )
    assert [row["mAP"] for row in tables_of(body.body)["Scores in percent"]] == ["1.00", ""]


def test_soups_are_drawn_apart_also_where_their_run_is_the_baseline(runs):
    for against in runs:
        tables = tables_of(differences_section(compare(runs, against=against), []).body)
        other = "good" if against.name == "poor" else "poor"
        rows = tables[f"mAP: difference from {against.name}"]
        assert [row["system"] for row in rows] == [f"{other}, mean of 2 seeds"]
        rows = tables["mAP: difference of soups from their seeds"]
        assert [row["system"] for row in rows] == ["good, uniform"]


def test_recall_over_the_threshold_is_that_of_the_columns(runs):
    systems = read_systems(runs, [Metric.parse("mAP"), *CURVES])
    drawn = values_of(recall_section(systems, 1).body)["R5 over the IoU threshold"]
    metrics = [Metric(5, iou).name for iou in IOUS]
    expected = {
        (row.recipe, row.metric): row.value
        for row in compare(runs, metrics=metrics).lines
        if row.member.startswith("mean")
    }
    for metric, row in zip(metrics, drawn, strict=True):
        assert row == pytest.approx([expected[name, metric] for name in ("poor", "good")], abs=1e-9)


def test_groups_and_oracle_are_those_of_the_analysis(runs):
    analysis = analyze(runs)
    singles = [model for model in analysis.models if model.member != "uniform"]
    drawn = values_of(groups_section(analysis).body)
    groups = [[group for group in model.groups if group.by == "recording, s"] for model in singles]
    assert drawn["mAP by recording, s"] == [
        [group.metrics["mAP"] for group in own] for own in zip(*groups, strict=True)
    ]
    drawn = values_of(oracle_section(analysis).body)["Best of the first k moments, IoU 0.7"]
    assert drawn == [
        [own.recall[0.7] for own in at] for at in zip(*(model.oracle for model in singles), strict=True)
    ]


def test_calibration_has_a_point_for_each_bin_that_is_not_empty(runs):
    analysis = analyze(runs)
    drawn = tables_of(calibration_section(analysis).body)["How often the first moment is right, IoU 0.5"]
    assert [row["mean score"] for row in drawn] == ["0.9"]
    own = next(each for each in analysis.models[0].calibration[0].bins if each.moments)
    assert float(drawn[0]["poor, mean of 2 seeds"]) == pytest.approx(own.right, abs=1e-4)


def test_scores_that_are_no_probabilities_are_named(tmp_path):
    asked = queries(2)
    write_annotations(tmp_path / "truth.jsonl", asked)
    moments = [Moments(own.qid, own.vid, np.array([[0.0, 9.0]]), np.array([-3.0])) for own in asked]
    write_predictions(tmp_path / "a.jsonl", moments)
    analysis = analyze([tmp_path / "a.jsonl"], truth=tmp_path / "truth.jsonl")
    text = "a.jsonl, predictions: scores are not between 0 and 1, or missing, so they are no probabilities."
    assert f"<p>{text}</p>" in calibration_section(analysis).body


def test_the_analysis_has_its_notes_and_a_table_for_each_sentence(runs):
    analysis = analyze(runs)
    body = analysis_section(analysis, analysis.notes).body
    assert body.count("<details>") == len(tables_of(body)) >= 6
    for note in analysis.notes:
        assert f"<p>{note}</p>" in body
