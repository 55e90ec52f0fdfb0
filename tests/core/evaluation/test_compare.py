import json
import subprocess
import sys

import numpy as np
import pytest

from amrbench.errors import DataError, RunError
from amrbench.evaluation.compare import compare
from amrbench.evaluation.metrics_file import FILE, Results, Row, write_results
from amrbench.evaluation.systems import LOCK, read_run
from amrbench.experiment.provenance import FILE as LOCK_FILE
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.predictions import read_predictions, write_predictions
from amrbench.functional.metrics import hits, metric_of, score
from amrbench.types import Moments, Query


def queries(recordings=40, each=3):
    return [
        Query(f"{vid}_{at}", "a sound", f"v{vid}", 60.0, ((10.0 + at, 20.0 + at),))
        for vid in range(recordings)
        for at in range(each)
    ]


def answers(asked, share, seed):
    """Return predictions of which about a share is right."""
    rng = np.random.default_rng(seed)
    found = []
    for query in asked:
        right = rng.random() < share
        start = query.windows[0][0] if right else 40.0
        windows = np.array([[start, start + 10.0], [0.0, 5.0]])
        found.append(Moments(query.qid, query.vid, windows, np.array([0.9, 0.1])))
    return found


def row(folder, member, kind, moments, asked):
    file = f"predictions/{member.replace(' ', '-')}.test.jsonl"
    write_predictions(folder / file, moments)
    found = score(moments, asked)
    return Row(
        member=member, kind=kind, split="test", queries=found.queries, metrics=found.metrics, predictions=file
    )


def make_run(folder, *, share=0.5, seeds=2, soup=None, asked=None, features="mini", shift=0, **said):
    """Write the folder of a finished run with random answers; shift gives other ones."""
    asked = asked or queries()
    (folder / "predictions").mkdir(parents=True)
    (folder / "recipe.yaml").write_text("name: toy\n")
    write_annotations(folder / "annotations.test.jsonl", asked)
    found = [answers(asked, share, seed + shift) for seed in range(seeds)]
    rows = [row(folder, f"seed {seed}", "seed", each, asked) for seed, each in enumerate(found)]
    if soup:
        rows.append(row(folder, "uniform", "soup", answers(asked, soup, 99), asked))
    rows.append(row(folder, "whole recording", "prior", answers(asked, 0, 0), asked))
    (folder / LOCK).write_text(json.dumps({"recipe": {"features": {"use": features}}}))
    plain = {
        "recipe": folder.name,
        "protocol": "tiny",
        "about": "For tests.",
        "stand_ins": f"{features} stands in for clap",
        "hash": folder.name,
        "conditions": "same",
        "truth": "annotations.test.jsonl",
        "versions": {},
        "rows": rows,
    }
    write_results(folder, Results(**plain | said))
    return folder


@pytest.fixture
def runs(tmp_path):
    poor = make_run(tmp_path / "poor", share=0.3)
    return poor, make_run(tmp_path / "good", share=0.8, soup=0.9, shift=50)


def line_of(found, recipe, metric="R1@0.7", member=None):
    lines = [line for line in found.lines if (line.recipe, line.metric) == (recipe, metric)]
    return next(line for line in lines if member in (None, line.member))


def refused(*sources, error=RunError, **options):
    with pytest.raises(error) as told:
        compare(sources, **options)
    return str(told.value)


# ---------------------------------------------------------------- what is computed


def test_means_and_spread_are_those_of_the_seeds(runs):
    poor, _ = runs
    line = line_of(compare(runs), "poor")
    truth = read_annotations(poor / "annotations.test.jsonl")
    seeds = [
        100 * hits(read_predictions(poor / f"predictions/seed-{seed}.test.jsonl"), truth, 1, 0.7).mean()
        for seed in (0, 1)
    ]
    assert line.seeds == pytest.approx(seeds)
    assert line.value == pytest.approx(np.mean(seeds))
    assert line.spread == pytest.approx(abs(seeds[0] - seeds[1]) / np.sqrt(2))
    assert line.difference is None
    assert line.against == ""


def test_differences_are_those_of_the_means_of_singles(runs):
    found = compare(runs, metrics=["R1@0.7", "mAP"])
    for metric in ("R1@0.7", "mAP"):
        good, poor = line_of(found, "good", metric), line_of(found, "poor", metric)
        assert good.against == "poor, mean of 2 seeds"
        assert good.difference.mean == pytest.approx(good.value - poor.value)
        assert 0 < good.difference.low < good.difference.mean < good.difference.high
        assert good.difference.p < 0.01


def test_a_soup_is_a_row_of_its_own_and_compared_with_its_own_singles(runs):
    found = compare(runs, metrics=["R1@0.7"])
    assert [(line.recipe, line.member) for line in found.lines] == [
        ("poor", "mean of 2 seeds"),
        ("good", "mean of 2 seeds"),
        ("good", "uniform"),
    ]
    singles, soup = found.lines[1:]
    assert soup.against == "good, mean of 2 seeds"
    assert soup.difference.mean == pytest.approx(soup.value - singles.value)
    assert soup.spread is None


def test_the_same_answers_differ_by_nothing(tmp_path):
    found = compare([make_run(tmp_path / "one"), make_run(tmp_path / "two")])
    for line in found.lines[3:]:
        assert vars(line.difference) == {"mean": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}


def test_pairing_is_by_id_whatever_the_order_of_lines(runs):
    poor, good = runs
    before = compare(runs).lines
    for file in (poor / "predictions/seed-0.test.jsonl", good / "annotations.test.jsonl"):
        file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
    assert compare(runs).lines == before


def test_what_is_compared_against_can_be_chosen(runs):
    poor, good = runs
    found = compare([good, poor], against=poor)
    assert found.against == "poor"
    assert found.lines == compare([poor, good]).lines
    assert line_of(compare([good, poor]), "poor").difference.mean < 0


def test_a_run_alone_has_its_figures_and_no_difference(runs):
    found = compare([runs[0], runs[0] / FILE])
    assert {line.recipe for line in found.lines} == {"poor"}
    assert [line.difference for line in found.lines] == [None] * 3
    assert found.notes == ("Protocol tiny: For tests.", "Stand-ins: mini stands in for clap.")


def test_namesakes_are_told_apart_by_their_place(tmp_path):
    found = compare([make_run(tmp_path / "a" / "toy"), make_run(tmp_path / "b" / "toy")])
    assert {line.recipe for line in found.lines} == {
        f"toy ({tmp_path / 'a' / 'toy'})",
        f"toy ({tmp_path / 'b' / 'toy'})",
    }


# ---------------------------------------------------------------- prediction files


def test_prediction_files_are_compared_as_the_runs_that_they_are_from(runs):
    files = [each / "predictions/seed-0.test.jsonl" for each in runs]
    found = compare(files, truth=runs[0] / "annotations.test.jsonl", metrics=["R1@0.7"])
    first, second = (line_of(compare(runs), name).seeds[0] for name in ("poor", "good"))
    assert [line.value for line in found.lines] == pytest.approx([first, second])
    assert found.lines[1].difference.mean == pytest.approx(second - first)
    assert [line.member for line in found.lines] == ["predictions", "predictions"]


def test_a_folder_of_prediction_files_is_one_system_with_seeds(runs, tmp_path):
    poor, good = runs
    folder = tmp_path / "theirs"
    folder.mkdir()
    for seed in (0, 1):
        name = f"seed-{seed}.test.jsonl"
        (folder / name).write_bytes((good / "predictions" / name).read_bytes())
    found = compare([poor, folder], truth=poor / "annotations.test.jsonl")
    theirs, ours = line_of(found, "theirs"), line_of(compare(runs), "good")
    assert theirs.member == "mean of 2 files"
    assert (theirs.value, theirs.spread, theirs.difference) == (ours.value, ours.spread, ours.difference)
    assert any(note.startswith("theirs: prediction files do not say which features") for note in found.notes)


# ---------------------------------------------------------------- what is said above the table


def test_the_heading_says_how_and_under_which_condition(runs):
    lines = compare(runs, metrics=["R1@0.7"]).text().splitlines()
    assert lines[0] == "Protocol tiny: For tests."
    assert "paired by query (120 queries, 40 recordings)" in lines[2]
    assert "10,000 bootstrap draws over recordings" in lines[2]
    assert "conditional on the pre-training" in lines[3]
    assert lines[4] == ""
    header = [cell.strip() for cell in lines[5].strip("|").split("|")]
    assert header[3:] == ["value", "spread", "against", "difference", "95 % interval", "p"]
    assert len(lines) == 5 + 2 + 3


def test_seeds_that_were_trained_apart_are_drawn_too(tmp_path):
    shared = [make_run(tmp_path / name, shift=shift) for name, shift in (("a", 0), ("b", 50))]
    own = [
        make_run(tmp_path / "own" / name, shift=shift, chains="own", recipe=name)
        for name, shift in (("a", 0), ("b", 50))
    ]
    found, plain = compare(own, metrics=["R1@0.7"]), compare(shared, metrics=["R1@0.7"])
    assert (
        "bootstrap draws over recordings and seeds; p: seeds exchanged between the sides." in found.notes[2]
    )
    assert found.notes[3].startswith("Each seed was trained apart from the first stage on")
    wide, narrow = (line_of(each, "b").difference for each in (found, plain))
    assert wide.mean == pytest.approx(narrow.mean)
    assert wide.high - wide.low > narrow.high - narrow.low
    assert wide.p in (pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0), "of six ways to deal four seeds"


def test_a_single_chain_says_nothing_about_others(tmp_path):
    own = [make_run(tmp_path / name, seeds=1, chains="own") for name in ("a", "b")]
    assert "conditional on the pre-training" in compare(own).notes[3]


def test_different_features_are_said(tmp_path):
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two", features="mini-wide")
    assert compare([one, two]).notes[-1] == (
        "The features differ: two has mini-wide, one has mini. The difference is not about the model alone."
    )
    (two / LOCK).write_text(json.dumps({"recipe": {"features": {"use": "mini", "bands": 3}}}))
    assert 'two has {"bands": 3, "use": "mini"}' in compare([one, two]).notes[-1]


def test_equal_features_need_no_word(runs):
    assert not any("features" in note for note in compare(runs).notes)


def test_few_recordings_are_said(tmp_path):
    few = queries(recordings=39)
    found = compare([make_run(tmp_path / name, asked=few) for name in ("one", "two")])
    assert found.notes[-1] == "Recordings: only 39, so the interval is too narrow (docs/comparing.md)."


@pytest.mark.parametrize(("form", "mark"), [("tsv", "# "), ("latex", "% ")])
def test_headings_are_comments_where_the_format_has_them(runs, form, mark):
    assert compare(runs).text(form).startswith(f"{mark}Protocol tiny")


def test_json_keeps_all_digits(runs):
    found = compare(runs, metrics=["R1@0.7"])
    data = json.loads(found.text("json"))
    assert data["draws"] == 10_000
    assert (data["queries"], data["recordings"], data["against"]) == (120, 40, "poor")
    assert data["lines"][1]["difference"]["low"] == found.lines[1].difference.low
    assert data["lines"][0]["difference"] is None


# ---------------------------------------------------------------- metrics


@pytest.mark.parametrize("name", ["R1@0.5", "R5@0.7", "R1@0.3", "mAP", "mAP@0.5", "mAP@0.75"])
def test_values_of_queries_average_to_the_metric(runs, name):
    poor, _ = runs
    member = read_run(poor, [metric_of(name)]).singles
    truth = read_annotations(poor / "annotations.test.jsonl")
    found = read_predictions(poor / "predictions/seed-1.test.jsonl")
    ious = [float(name.split("@")[1])] if name.startswith("R") else [0.5]
    assert member.values[1].mean() == pytest.approx(score(found, truth, ious=ious).metrics[name])


@pytest.mark.parametrize("name", ["R1@0.77x", "R0@0.5", "R1@0.0", "R1@1.5", "mAP@0.51", "recall"])
def test_an_unknown_metric_is_refused(runs, name):
    assert f"there is no metric '{name}'" in refused(*runs, metrics=[name])


def test_an_unknown_metric_is_refused_with_a_near_name(runs):
    assert "Did you mean 'R1@0.7'?" in refused(*runs, metrics=["R1@07"])


# ---------------------------------------------------------------- what is refused


def test_protocols_are_not_mixed(runs, tmp_path):
    other = make_run(tmp_path / "other", protocol="castella")
    said = refused(runs[0], other)
    assert f"{runs[0]} was run under the protocol 'tiny', {other} under 'castella'" in said


def test_a_protocol_that_changed_in_between_is_refused(runs, tmp_path):
    other = make_run(tmp_path / "other", conditions="new")
    said = refused(runs[0], other)
    assert f"'tiny' or its data changed between {runs[0]} and {other}" in said


def test_other_queries_are_refused_by_name(runs, tmp_path):
    other = make_run(tmp_path / "other", asked=queries()[:-1])
    said = refused(runs[0], other)
    assert f"{runs[0]} and {other} do not answer the same queries: only {runs[0]} has '39_2'" in said


def test_other_windows_under_the_same_ids_are_refused(runs, tmp_path):
    asked = queries()
    asked[4] = Query("1_1", "a sound", "v1", 60.0, ((3.0, 9.0),))
    said = refused(runs[0], make_run(tmp_path / "other", asked=asked))
    assert "'1_1' have another recording or other windows" in said


def test_prediction_files_need_annotations_and_runs_do_not(runs):
    file = runs[0] / "predictions/seed-0.test.jsonl"
    assert f"{file}: not a run (no metrics.json)" in refused(file)
    assert "--truth FILE" in refused(file)
    truth = runs[0] / "annotations.test.jsonl"
    assert f"{truth}: runs bring their own annotations" in refused(*runs, truth=truth)


def test_what_is_not_there_is_named(runs, tmp_path):
    missing = tmp_path / "nowhere"
    assert f"{missing}: there is no such run" in refused(missing)
    (tmp_path / "empty").mkdir()
    said = refused(tmp_path / "empty", truth=runs[0] / "annotations.test.jsonl")
    assert "no run and no prediction file (*.jsonl) here" in said
    assert "nothing to compare" in refused()


def test_an_unfinished_run_is_refused(runs):
    (runs[1] / FILE).unlink()
    assert f"{runs[1]}: there is no finished run" in refused(*runs)


def test_a_run_without_seeds_is_refused(tmp_path):
    assert "has no seeds" in refused(make_run(tmp_path / "one", seeds=0))


def test_predictions_that_do_not_give_the_metrics_of_the_run_are_refused(runs):
    poor, good = runs
    file = poor / "predictions/seed-0.test.jsonl"
    file.write_bytes((good / "predictions/seed-0.test.jsonl").read_bytes())
    said = refused(*runs)
    assert said.startswith(f"{file}: gives R1@0.5 ")
    assert "A file was changed" in said


def test_predictions_for_other_annotations_are_refused_with_both_files(runs, tmp_path):
    write_annotations(tmp_path / "truth.jsonl", queries()[:-1])
    file = runs[0] / "predictions/seed-0.test.jsonl"
    said = refused(file, truth=tmp_path / "truth.jsonl", error=DataError)
    assert said.startswith(f"{file} against {tmp_path / 'truth.jsonl'}: ")


@pytest.mark.parametrize("text", ["{", "[]", '{"recipe": {}}', '{"recipe": 3}'])
def test_a_lock_that_does_not_say_the_features_is_refused(runs, text):
    (runs[0] / LOCK).write_text(text)
    assert f"{runs[0] / LOCK}: does not say which features" in refused(*runs)


def test_a_missing_lock_is_refused(runs):
    (runs[0] / LOCK).unlink()
    assert f"{runs[0] / LOCK}: cannot be read" in refused(*runs)


def test_an_unknown_form_names_the_known_ones(runs):
    with pytest.raises(RunError, match=r"no table format 'tex'.*Use github, tsv, latex, json"):
        compare(runs).text("tex")


def test_the_lock_is_the_file_that_a_run_writes():
    assert LOCK == LOCK_FILE


def test_comparing_needs_no_torch(runs):
    code = (
        "import sys; from pathlib import Path; from amrbench.evaluation.compare import compare\n"
        "compare([Path(each) for each in sys.argv[1:]]).text(); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *map(str, runs)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"
