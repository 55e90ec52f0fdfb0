"""Every number of the page is that of `score`, `compare` and `analyze`."""

import os
import sys
from dataclasses import replace

import numpy as np
import pytest

from amrbench.evaluation.analysis import analyze
from amrbench.evaluation.analysis_tables import analysis_tables
from amrbench.evaluation.compare import METRICS, compare
from amrbench.evaluation.result import read_result
from amrbench.evaluation.score_files import score_files
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.predictions import write_predictions
from amrbench.functional.metrics import STANDARD
from amrbench.types import Moments, Query
from tests.core.experiment.test_unscored import unscored  # noqa: F401 (a fixture)
from tests.core.pages.read_page import HOSTILE, Elements, data_of, tables_of, values_of
from tests.oracle.reference_predictions import published
from tests.small_world.written_runs import make_run, poor_and_good, predictions, queries

pytest.importorskip("matplotlib")


@pytest.fixture
def runs(tmp_path):
    return poor_and_good(tmp_path)


@pytest.fixture
def report(amrbench, tmp_path):
    """Return a function that calls the command and returns the page."""

    def call(*arguments):
        output = tmp_path / "report.html"
        code, out, err = amrbench("report", *arguments, "-o", output)
        assert (code, out) == (0, ""), err
        return output.read_text(encoding="utf-8")

    return call


@pytest.fixture
def files(tmp_path):
    """Return two prediction files of CASTELLA's validation split, and its annotations."""
    names = ("castella_val_best_c2b90e2", "castella_val_latest_a36f7a3")
    truth = tmp_path / "truth.jsonl"
    write_annotations(truth, published(names[0]).truth)
    for name in names:
        write_predictions(tmp_path / f"{name}.jsonl", published(name).predictions)
    return [tmp_path / f"{name}.jsonl" for name in names], truth


def test_scores_of_runs_are_those_of_their_results(report, runs):
    html = report(*runs)
    expected = [row for run in runs for row in read_result(run).rows if row.kind != "prior"]
    expected += [row for row in read_result(runs[0]).rows if row.kind == "prior"]
    assert values_of(html)["Scores in percent"] == [list(row.metrics.values()) for row in expected]
    rows = tables_of(html)["Scores in percent"]
    assert [row["member"] for row in rows] == [row.member for row in expected]
    assert [row["R1@0.5"] for row in rows] == [f"{row.metrics['R1@0.5']:.2f}" for row in expected]


def test_runs_of_one_recipe_have_the_same_names_in_all_sections(report, tmp_path):
    one, two = (make_run(tmp_path / name / "ours", shift=shift) for name, shift in (("a", 0), ("b", 9)))
    html = report(one, two)
    names = [f"ours ({folder})" for folder in (one, two)]
    tables = tables_of(html)
    assert [*dict.fromkeys(row["recipe"] for row in tables["Scores in percent"])] == [*names, ""]
    assert len(tables["Scores in percent"]) == 5
    assert {row["recipe"] for row in tables["Differences, paired by query"]} == set(names)
    headings = [text for _, text in Elements(html).named("h3")]
    assert headings[-2:] == names
    assert next(text for _, text in Elements(html).named("title")) == "ours under tiny"
    shown = data_of(html, "timelines")["timelines"][0]["systems"]
    assert [own["name"] for own in shown] == [f"{name}, seed 0" for name in names]


def test_a_run_and_a_file_of_the_same_name_are_told_apart(report, tmp_path):
    run = make_run(tmp_path / "a" / "ours")
    file = tmp_path / "ours"
    file.write_bytes((run / "predictions/seed-0.test.jsonl").read_bytes())
    rows = tables_of(report(run, file, "--truth", run / "annotations.test.jsonl"))["Scores in percent"]
    assert [*dict.fromkeys(row["recipe"] for row in rows)] == [f"ours ({run})", f"ours ({file})", ""]


def test_scores_of_files_are_those_of_score(report, files):
    (one, two), truth = files
    html = report(one, two, "--truth", truth)
    scores = [score_files(file, truth) for file in (one, two)]
    expected = [*(own.scores for own in scores), *scores[0].baselines.values()]
    assert values_of(html)["Scores in percent"] == [list(own.metrics.values()) for own in expected]
    assert [row["recipe"] for row in tables_of(html)["Scores in percent"]] == [one.name, two.name, "", ""]


@pytest.mark.parametrize("against", [0, 1])
def test_differences_are_those_of_compare(report, runs, against):
    html = report(*runs, "--against", runs[against])
    comparison = compare(runs, against=runs[against])
    assert tables_of(html)["Differences, paired by query"] == comparison.cells()
    values = values_of(html)
    for row in comparison.lines:
        if row.difference and row.member.startswith("mean"):
            drawn = values[f"{row.metric}: difference from {comparison.against}"]
            assert drawn == [[row.difference.mean, row.difference.low, row.difference.high]]
        elif row.difference:
            drawn = values[f"{row.metric}: difference of soups from their seeds"]
            assert [row.difference.mean, row.difference.low, row.difference.high] in drawn
    for note in comparison.notes[2:]:
        assert note in [text for _, text in Elements(html).named("p")]


def test_tables_of_the_analysis_are_those_of_analyze(report, files):
    sources, truth = files
    tables = tables_of(report(*sources, "--truth", truth))
    for title, rows in analysis_tables(analyze(sources, truth=truth)).items():
        expected = [
            {name: f"{value:.2f}" if isinstance(value, float) else value for name, value in row.items()}
            for row in rows
        ]
        assert tables[title] == expected


def test_curves_go_through_the_metrics(report, files):
    sources, truth = files
    html = report(*sources, "--truth", truth)
    rows = values_of(html)
    scores = [score_files(file, truth).scores.metrics for file in sources]
    for k in (1, 5):
        caption = f"R{k} over the IoU threshold"
        at = {row["IoU threshold"]: index for index, row in enumerate(tables_of(html)[caption])}
        for iou in ("0.5", "0.7"):
            assert rows[caption][at[iou]] == pytest.approx([own[f"R{k}@{iou}"] for own in scores], abs=1e-9)


def test_values_of_the_queries_have_the_means_of_compare(report, runs):
    html = report(*runs)
    data = data_of(html, "query-data")
    assert data["metrics"] == list(METRICS)
    expected = {
        (row.recipe, row.metric): row.value for row in compare(runs).lines if row.member.startswith("mean")
    }
    for name, values in zip(("poor", "good"), data["values"], strict=True):
        means = dict(zip(METRICS, np.mean(values, axis=0).tolist(), strict=True))
        assert means == pytest.approx({metric: expected[name, metric] for metric in METRICS}, abs=1e-3)


def test_the_heading_names_protocol_stand_ins_and_version(report, runs):
    paragraphs = [text for _, text in Elements(report(*runs)).named("p")]
    assert paragraphs[:4] == [
        "Protocol tiny, split test: For tests.",
        "Stand-ins: mini stands in for clap.",
        "120 queries, 40 recordings.",
        "Written by amrbench 0.1.0.",
    ]


def test_a_run_alone_has_nothing_to_compare_with(report, runs):
    html = report(runs[0])
    assert "<p>There is nothing to compare with: give two systems or --against.</p>" in html
    assert len(data_of(html, "query-data")["orders"]) == 3


def test_a_folder_of_files_is_one_system(report, tmp_path):
    asked = queries()
    write_annotations(tmp_path / "truth.jsonl", asked)
    for seed in (0, 1):
        (tmp_path / "ours").mkdir(exist_ok=True)
        write_predictions(tmp_path / "ours" / f"{seed}.jsonl", predictions(asked, 0.5, seed))
    rows = tables_of(report(tmp_path / "ours", "--truth", tmp_path / "truth.jsonl"))["Scores in percent"]
    assert [(row["recipe"], row["member"]) for row in rows[:2]] == [("ours", "0.jsonl"), ("ours", "1.jsonl")]


def test_sentences_and_names_of_users_are_only_text(report, tmp_path):
    asked = [
        Query(HOSTILE, HOSTILE, HOSTILE, 60.0, ((10.0, 20.0),), {"kind": HOSTILE}),
        Query("b", "x", "v", 60.0, ((10.0, 20.0),), {"kind": "plain"}),
    ]
    write_annotations(tmp_path / "truth.jsonl", asked)
    moments = [
        Moments(query.qid, query.vid, np.array([[10.0, 20.0]]), np.array([0.5]), query.query)
        for query in asked
    ]
    name = HOSTILE.replace("/", " ") + ".jsonl"
    write_predictions(tmp_path / name, moments)
    html = report(tmp_path / name, "--truth", tmp_path / "truth.jsonl")
    assert "alert(1)</script>" not in html
    scripts = [attributes for attributes, _ in Elements(html).named("script")]
    assert [own.get("id") for own in scripts] == ["timelines", "query-data", None, None, None]
    assert data_of(html, "timelines")["timelines"][0]["query"] == HOSTILE


def test_runs_without_a_public_truth_show_predictions_and_training(report, unscored):  # noqa: F811
    html = report(unscored.folder)
    assert "The ground truth is not public: predictions only, no metrics." in html
    titles = [text for _, text in Elements(html).named("h2")]
    assert titles == ["Training", "Queries", "How it was made"]
    timelines = data_of(html, "timelines")["timelines"]
    assert {own["truth"] for own in timelines} == {None}
    assert timelines[0]["systems"][0]["moments"]


def test_annotations_of_a_run_without_a_public_truth_are_for_its_prediction_files(
    amrbench,
    report,
    unscored,  # noqa: F811
    tmp_path,
):
    run, truth = unscored.folder, tmp_path / "truth.jsonl"
    file = run / "predictions/seed-0.evaluation.jsonl"
    expected = (
        f"error: {truth}: --truth is for prediction files only, and {run} is a run whose ground truth is not "
        f"public. Give its prediction files instead of the run, e.g. {file}.\n"
    )
    for command in (("report", "-o", tmp_path / "r.html"), ("compare",), ("analyze",)):
        code, _, err = amrbench(*command, run, "--truth", truth)
        assert (code, err) == (2, expected)
    queries = read_annotations(run / "annotations.evaluation.jsonl")
    write_annotations(truth, [replace(query, windows=((0.0, 2.0),)) for query in queries])
    rows = tables_of(report(file, "--truth", truth))["Scores in percent"]
    assert [row["queries"] for row in rows][:1] == ["8"]


def test_a_run_shows_the_curves_of_its_logs(report, finished):
    html = report(finished.folder)
    stages = {stage.stage: stage for stage in finished.result.stages}
    for caption in ("toy pretrain: loss", "toy finetune: validation, span"):
        name = caption.partition(":")[0]
        epochs = {stage.epochs for key, stage in stages.items() if key.startswith(name)}
        assert {len(tables_of(html)[caption])} == epochs
    selected = stages["toy finetune, seed 1"].selected["span"]
    drawn = values_of(html)["toy finetune: validation, span"][selected.epoch - 1][1]
    assert drawn in selected.val.values()


def test_the_same_files_give_the_same_page(report, runs):
    assert report(*runs) == report(*runs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{good}", "-o", "{tmp}/r.pdf"], "{tmp}/r.pdf: a page cannot have this suffix. Use .html."),
        (
            ["{good}", "-o", "{tmp}/no/r.html"],
            "{tmp}/no/r.html: there is no folder '{tmp}/no'. Make it, or choose another path.",
        ),
        (["{tmp}/none", "-o", "{tmp}/d.html"], "{tmp}/d.html: is a folder. Name a file for the output."),
        (
            ["{good}", "-o", "{tmp}/r.html", "--audio", "{tmp}/none"],
            "{tmp}/none: there is no such folder. Give the folder of the recordings.",
        ),
        (
            ["{tmp}/x.html", "--truth", "{tmp}/x.html", "-o", "{tmp}/x.html"],
            "{tmp}/x.html: is an input, so it cannot be the output. Name another output.",
        ),
        (
            ["{good}", "-o", "{tmp}/r.html", "--truth", "{tmp}/x.html"],
            "{tmp}/x.html: runs bring their own annotations; --truth is for prediction files only.",
        ),
        (
            ["{tmp}/x.html", "-o", "{tmp}/r.html"],
            "{tmp}/x.html: not a run (no result.json). Prediction files need the annotations too: --truth "
            "FILE.",
        ),
    ],
)
def test_what_cannot_be_reported_is_refused_with_a_remedy(amrbench, tmp_path, arguments, message):
    good = make_run(tmp_path / "good")
    (tmp_path / "x.html").write_text("")
    (tmp_path / "d.html").mkdir()
    names = {"good": good, "tmp": tmp_path}
    code, _, err = amrbench("report", *(each.format(**names) for each in arguments))
    assert (code, err) == (2, f"error: {message.format(**names)}\n")
    assert not (tmp_path / "r.html").exists()


def test_a_pipe_is_refused_because_files_are_read_several_times(amrbench, runs, tmp_path):
    file, pipe = runs[0] / "predictions/seed-0.test.jsonl", tmp_path / "pipe"
    os.mkfifo(pipe)
    code, _, err = amrbench("report", file, "--truth", pipe, "-o", tmp_path / "r.html")
    assert code == 2
    assert f"{pipe}: is a pipe, but a report reads its files several times. Give a stored file." in err


def test_without_matplotlib_nothing_is_read(amrbench, runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = amrbench("report", *runs, "-o", tmp_path / "r.html")
    assert (code, err) == (
        2,
        "error: charts need the package matplotlib. Install it with 'pip install amrbench[plot]'.\n",
    )


def test_the_columns_of_runs_and_files_are_the_same(report, runs, tmp_path):
    moments = predictions(queries(), 0.6, 5)
    write_predictions(tmp_path / "other.jsonl", moments)
    truth = runs[0] / "annotations.test.jsonl"
    rows = tables_of(report(*runs, tmp_path / "other.jsonl", "--truth", truth))["Scores in percent"]
    assert list(rows[0])[3:] == [metric.name for metric in STANDARD]
    assert [row["recipe"] for row in rows].count("other.jsonl") == 1
    assert [row["member"] for row in rows].count("whole recording") == 1
