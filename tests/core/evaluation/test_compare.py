import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from amrbench.errors import AmrbenchError, DataError, RunError
from amrbench.evaluation.compare import METRICS, Comparison, ComparisonRow, compare
from amrbench.evaluation.result import RESULT
from amrbench.evaluation.systems import read_systems
from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.files.predictions import read_predictions
from amrbench.functional.bootstrap import Difference, differences
from amrbench.functional.metrics import Metric, evaluate
from amrbench.functional.power import more_chains
from amrbench.types import Query
from tests.small_world.runs import seal
from tests.small_world.written_runs import chain_records, make_chains, make_run, poor_and_good, queries


@pytest.fixture
def runs(tmp_path):
    return poor_and_good(tmp_path)


def row_of(comparison, recipe, metric="R1@0.7"):
    """Return the first row of a recipe and metric, which is that of its single models."""
    return next(row for row in comparison.lines if (row.recipe, row.metric) == (recipe, metric))


def refused(*sources, error=RunError, **options):
    with pytest.raises(error) as refusal:
        compare(sources, **options)
    return str(refusal.value)


# ---------------------------------------------------------------- what is computed


def test_means_and_spread_are_those_of_the_seeds(runs):
    poor, _ = runs
    row = row_of(compare(runs), "poor")
    truth = read_annotations(poor / "annotations.test.jsonl")
    files = [poor / f"predictions/seed-{seed}.test.jsonl" for seed in (0, 1)]
    seeds = [100 * evaluate(read_predictions(file), truth).hits(1, 0.7).mean() for file in files]
    assert row.seeds == pytest.approx(seeds)
    assert row.value == pytest.approx(np.mean(seeds))
    assert row.spread == pytest.approx(abs(seeds[0] - seeds[1]) / np.sqrt(2))
    assert row.difference is None
    assert row.against == ""


def test_differences_are_those_of_the_means_of_singles(runs):
    comparison = compare(runs, metrics=["R1@0.7", "mAP"])
    for metric in ("R1@0.7", "mAP"):
        good, poor = row_of(comparison, "good", metric), row_of(comparison, "poor", metric)
        assert good.against == "poor, mean of 2 seeds"
        assert good.difference.mean == pytest.approx(good.value - poor.value)
        assert 0 < good.difference.low < good.difference.mean < good.difference.high
        assert good.difference.p < 0.01


def test_a_soup_is_a_row_of_its_own_and_compared_with_its_own_singles(runs):
    rows = compare(runs, metrics=["R1@0.7"]).lines
    assert [(row.recipe, row.member) for row in rows] == [
        ("poor", "mean of 2 seeds"),
        ("good", "mean of 2 seeds"),
        ("good", "uniform"),
    ]
    singles, soup = rows[1:]
    assert soup.against == "good, mean of 2 seeds"
    assert soup.difference.mean == pytest.approx(soup.value - singles.value)
    assert soup.spread is None


def test_a_soup_of_chains_is_compared_with_its_singles_by_recordings_alone(tmp_path):
    run = make_run(tmp_path / "a", seeds=3, chains="own", soup=0.9, **chain_records("pre", "one", 3))
    (system,) = read_systems([run], [Metric.parse("R1@0.7")])
    apart = system.soups[0].values.mean(axis=0) - system.singles.values.mean(axis=0)
    _, soup = compare([run], metrics=["R1@0.7"]).lines
    assert [soup.difference] == differences(apart, [query.vid for query in system.queries])


def test_the_same_predictions_do_not_differ(tmp_path):
    comparison = compare([make_run(tmp_path / "one"), make_run(tmp_path / "two")])
    for row in comparison.lines[len(METRICS) :]:
        assert vars(row.difference) == {"mean": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}


def test_pairing_is_by_id_whatever_the_order_of_lines(runs):
    poor, good = runs
    before = compare(runs).lines
    for file in (poor / "predictions/seed-0.test.jsonl", good / "annotations.test.jsonl"):
        file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
        seal(file.parents[1] if file.parent.name == "predictions" else file.parent)
    assert compare(runs).lines == before


def test_what_is_compared_against_can_be_chosen(runs):
    poor, good = runs
    comparison = compare([good, poor], against=poor)
    assert comparison.against == "poor"
    assert comparison.lines == compare([poor, good]).lines
    assert row_of(compare([good, poor]), "poor").difference.mean < 0


def test_a_run_alone_has_its_metrics_and_no_difference(runs):
    comparison = compare([runs[0], runs[0] / RESULT])
    assert {row.recipe for row in comparison.lines} == {"poor"}
    assert [row.difference for row in comparison.lines] == [None] * len(METRICS)
    assert comparison.notes == ("Protocol tiny: For tests.", "Stand-ins: mini stands in for clap.")


def test_a_metric_that_is_named_twice_has_one_row(runs):
    assert compare(runs, metrics=["mAP", "mAP"]).lines == compare(runs, metrics=["mAP"]).lines


def test_the_location_is_added_to_equal_names(tmp_path):
    comparison = compare([make_run(tmp_path / "a" / "toy"), make_run(tmp_path / "b" / "toy")])
    assert {row.recipe for row in comparison.lines} == {
        f"toy ({tmp_path / 'a' / 'toy'})",
        f"toy ({tmp_path / 'b' / 'toy'})",
    }


# ---------------------------------------------------------------- prediction files


def test_prediction_files_are_compared_as_the_runs_that_they_are_from(runs):
    files = [run / "predictions/seed-0.test.jsonl" for run in runs]
    rows = compare(files, truth=runs[0] / "annotations.test.jsonl", metrics=["R1@0.7"]).lines
    first, second = (row_of(compare(runs), name).seeds[0] for name in ("poor", "good"))
    assert [row.value for row in rows] == pytest.approx([first, second])
    assert rows[1].difference.mean == pytest.approx(second - first)
    assert [row.member for row in rows] == ["predictions", "predictions"]


def test_a_folder_of_prediction_files_is_one_system_with_seeds(runs, tmp_path):
    poor, good = runs
    folder = tmp_path / "theirs"
    folder.mkdir()
    for seed in (0, 1):
        name = f"seed-{seed}.test.jsonl"
        (folder / name).write_bytes((good / "predictions" / name).read_bytes())
    comparison = compare([poor, folder], truth=poor / "annotations.test.jsonl")
    theirs, ours = row_of(comparison, "theirs"), row_of(compare(runs), "good")
    assert theirs.member == "mean of 2 files"
    assert (theirs.value, theirs.spread, theirs.difference) == (ours.value, ours.spread, ours.difference)
    assert comparison.notes[-1].startswith("theirs: prediction files do not say which features were used")


# ---------------------------------------------------------------- the heading


def test_the_heading_names_method_and_condition(runs):
    lines = compare(runs, metrics=["R1@0.7"]).text().splitlines()
    assert lines[0] == "Protocol tiny: For tests."
    assert "paired by query (120 queries, 40 recordings)" in lines[2]
    assert "10,000 bootstrap draws over recordings" in lines[2]
    assert "conditional on the pre-training" in lines[3]
    assert lines[4] == ""
    header = [cell.strip() for cell in lines[5].strip("|").split("|")]
    assert header[3:] == ["value", "spread", "against", "difference", "95 % interval", "p"]
    assert len(lines) == 5 + 2 + 3


def test_seeds_that_were_trained_apart_are_resampled_too(tmp_path):
    shared = [make_run(tmp_path / name, shift=shift) for name, shift in (("a", 0), ("b", 50))]
    own = [
        make_run(tmp_path / "own" / name, shift=shift, chains="own") for name, shift in (("a", 0), ("b", 50))
    ]
    chains, plain = (compare(sources, metrics=["R1@0.7"]) for sources in (own, shared))
    assert "draws over recordings and seeds; p: seeds exchanged between the sides." in chains.notes[2]
    assert chains.notes[3].startswith("Each seed was trained apart from the first stage on")
    wide, narrow = (row_of(comparison, "b").difference for comparison in (chains, plain))
    assert wide.mean == pytest.approx(narrow.mean)
    assert wide.high - wide.low > narrow.high - narrow.low
    assert wide.p in (pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0), "of six ways to divide four seeds"


def test_chains_that_share_stages_are_drawn_as_pairs(tmp_path):
    def compared(name, first, second):
        runs = [
            make_run(tmp_path / name / own, shift=shift, seeds=4, chains="own", **chain_records(*stages, 4))
            for own, shift, stages in (("a", 0, first), ("b", 50, second))
        ]
        return compare(runs, metrics=["R1@0.7"])

    paired = compared("paired", ("pre", "one"), ("pre", "two"))
    apart = compared("apart", ("pre", "one"), ("other", "two"))
    sentence = (
        " Seeds of b share stages with those of a: both are drawn together, and p exchanges the sides of "
        "each seed."
    )
    assert paired.notes[3].endswith(sentence)
    assert not apart.notes[3].endswith(sentence)
    pairs, sides = (row_of(comparison, "b") for comparison in (paired, apart))
    assert pairs.difference.mean == pytest.approx(sides.difference.mean)
    assert pairs.difference.p in (pytest.approx(2 * n / 2**4) for n in range(1, 9)), "of sixteen exchanges"
    one, two = (np.array(row_of(paired, name).seeds) for name in "ab")
    deviation = (two - one).std(ddof=1) / 2  # Of the mean of four pairs; recordings add to it.
    assert pairs.difference.high - pairs.difference.low > 2 * 1.5 * deviation
    assert (pairs.difference.low, pairs.difference.high) != (sides.difference.low, sides.difference.high)


def test_only_chains_that_share_stages_are_said_to_be_pairs(tmp_path):
    a, b, c = (
        make_run(tmp_path / name, shift=shift, seeds=3, chains="own", **chain_records(first, name, 3))
        for name, shift, first in (("a", 0, "pre"), ("b", 50, "pre"), ("c", 100, "other"))
    )
    assert " Seeds of b share stages with those of a: " in compare([a, b, c]).notes[3]


def test_what_would_settle_a_difference_of_pairs_is_that_of_their_differences(tmp_path, monkeypatch):
    runs = [
        make_run(tmp_path / name, shift=shift, seeds=4, chains="own", **chain_records("pre", name, 4))
        for name, shift in (("a", 0), ("b", 50))
    ]
    one, two = read_systems(runs, [Metric.parse("R1@0.7")])
    rng = np.random.default_rng(0)
    shape, offsets = one.singles.values.shape, np.array([8.0, -8.0, 6.0, -6.0])[:, None, None]
    common, own = rng.normal(0, 50, shape), offsets + rng.normal(0, 20, shape[1:])
    systems = [
        replace(system, singles=replace(system.singles, values=values))
        for system, values in ((one, common), (two, common + own))
    ]
    monkeypatch.setattr("amrbench.evaluation.compare.read_systems", lambda *_, **__: systems)
    row = row_of(compare(runs, metrics=["R1@0.7"]), "b")
    pairs, recordings = common + own - common, [query.vid for query in one.queries]
    assert [row.to_settle] == more_chains(pairs, np.zeros(shape), recordings, [row.difference])
    assert row.to_settle != more_chains(common + own, common, recordings, [row.difference])[0]


def test_a_single_chain_is_not_resampled(tmp_path):
    own = [make_run(tmp_path / name, seeds=1, chains="own") for name in ("a", "b")]
    comparison = compare(own)
    assert "conditional on the pre-training" in comparison.notes[3]
    assert [row.to_settle for row in comparison.lines] == [None] * (2 * len(METRICS))


def test_the_heading_is_true_of_chains_and_of_prediction_files_alike(tmp_path):
    a, b = of_chains(tmp_path, (0.2, 0.9), seeds=3)
    file, truth = b / "predictions/seed-0.test.jsonl", a / "annotations.test.jsonl"
    notes = compare([a, b, file], truth=truth, metrics=["R1@0.7"]).notes[2:]
    paired = (
        "paired by query (120 queries, 40 recordings), each query averaged over seeds. Interval: 95 %, "
        "percentiles of"
    )
    assert notes[0] == (
        f"Differences of b in points, {paired} 10,000 bootstrap draws over recordings and seeds; "
        "p: seeds exchanged between the sides."
    )
    assert notes[1].startswith("Each seed was trained apart from the first stage on")
    assert notes[2] == (
        f"Differences of {file.name} in points, {paired} 10,000 bootstrap draws over recordings; "
        "p: sides exchanged at random in each recording."
    )
    assert notes[3].startswith("The interval is conditional on the pre-training")


def of_chains(folder, accuracies, seeds):
    """Write runs with chains of their own, whose models are right with these probabilities."""
    return [
        make_run(folder / name, accuracy=accuracy, shift=shift, seeds=seeds, chains="own")
        for name, accuracy, shift in zip("abc", accuracies, (0, 50, 100), strict=False)
    ]


def test_a_difference_of_chains_that_is_open_says_what_would_settle_it(tmp_path):
    comparison = compare(of_chains(tmp_path, (0.5, 0.5, 0.9), seeds=3), metrics=["R1@0.7"])
    first, open_, settled = comparison.lines
    assert (first.to_settle, settled.to_settle) == (None, None)
    assert open_.difference.low < 0 < open_.difference.high
    *_, header, _, _, row, last = comparison.text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (header, row, last)]
    assert [own[-1] for own in cells] == ["to settle it", str(open_.to_settle), ""]
    assert comparison.notes[4] == (
        "To settle it: about how many more chains of each recipe would leave 0 outside of the interval, in "
        "80 % of the cases, if the difference is as large as it seems. Where no number of them would, the "
        "half-width that the recordings of this split leave."
    )
    data = comparison.as_json()
    assert data["share"] == 0.8
    assert data["lines"][1]["to_settle"] == vars(open_.to_settle)
    assert data["lines"][2]["to_settle"] is None
    for form in ("tsv", "latex"):
        assert "to settle it" in comparison.text(form)


def test_where_all_is_settled_or_no_chains_differ_nothing_is_said_of_more(tmp_path, runs):
    settled = compare(of_chains(tmp_path, (0.2, 0.9), seeds=3))
    for comparison in (settled, compare(runs)):
        assert not any(row.to_settle for row in comparison.lines)
        assert "to settle it" not in comparison.text()


def test_different_features_are_noted(tmp_path):
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two", features="mini-wide")
    assert compare([one, two]).notes[-1] == (
        "The features differ: two has mini-wide, one has mini. The difference is not about the model alone."
    )
    three = make_run(tmp_path / "three", features={"use": "mini", "bands": 3})
    assert 'three has {"bands": 3, "use": "mini"}' in compare([one, three]).notes[-1]


def test_equal_features_need_no_note(runs):
    assert not any("features" in note for note in compare(runs).notes)


def test_few_recordings_are_noted(tmp_path):
    few = queries(recordings=39)
    comparison = compare([make_run(tmp_path / name, asked=few) for name in ("one", "two")])
    assert comparison.notes[-1] == "Recordings: only 39, so the interval is too narrow (docs/comparing.md)."


def test_numbers_have_two_digits_and_differences_a_sign():
    difference = Difference(mean=1.5, low=-0.254, high=3.0, p=0.04567)
    row = ComparisonRow("b", "mean of 2 seeds", "mAP", 12.3, (12.0, 12.6), 0.424, "a", difference, None)
    comparison = Comparison("tiny", "a", 3, 2, (), (row,))
    assert comparison.cells() == [
        {
            "recipe": "b",
            "member": "mean of 2 seeds",
            "metric": "mAP",
            "value": "12.30",
            "spread": "0.42",
            "against": "a",
            "difference": "+1.50",
            "95 % interval": "[-0.25, +3.00]",
            "p": "0.0457",
        }
    ]
    assert comparison.alignment() == [*["left"] * 3, "right", "right", "left", *["right"] * 3]


@pytest.mark.parametrize(("form", "mark"), [("tsv", "# "), ("latex", "% ")])
def test_headings_are_comments_where_the_format_has_them(runs, form, mark):
    assert compare(runs).text(form).startswith(f"{mark}Protocol tiny")


def test_json_keeps_all_digits(runs):
    comparison = compare(runs, metrics=["R1@0.7"])
    data = comparison.as_json()
    assert (data["draws"], data["level"]) == (10_000, 0.95)
    assert (data["queries"], data["recordings"], data["against"]) == (120, 40, "poor")
    assert data["lines"][1]["difference"]["low"] == comparison.lines[1].difference.low
    assert data["lines"][0]["difference"] is None


# ---------------------------------------------------------------- metrics


@pytest.mark.parametrize("name", ["R1@0.77x", "R0@0.5", "R1@0.0", "R1@1.5", "mAP@0.51", "recall"])
def test_an_unknown_metric_is_refused(runs, name):
    assert f"there is no metric '{name}'" in refused(*runs, metrics=[name], error=AmrbenchError)


def test_an_unknown_metric_is_refused_with_a_near_name(runs):
    assert "Did you mean 'R1@0.7'?" in refused(*runs, metrics=["R1@07"], error=AmrbenchError)


# ---------------------------------------------------------------- what is refused


def test_protocols_are_not_mixed(runs, tmp_path):
    other = make_run(tmp_path / "other", protocol="castella")
    message = refused(runs[0], other)
    assert f"{runs[0]} was run under the protocol 'tiny', {other} under 'castella'" in message
    file, truth = runs[0] / "predictions/seed-0.test.jsonl", runs[0] / "annotations.test.jsonl"
    assert refused(runs[0], other, against=file, truth=truth) == message


def test_a_protocol_that_changed_in_between_is_refused(runs, tmp_path):
    other = make_run(tmp_path / "other", conditions="new")
    message = refused(runs[0], other)
    assert f"'tiny' or its data changed between {runs[0]} and {other}" in message


def test_other_queries_are_refused_by_name(runs, tmp_path):
    other = make_run(tmp_path / "other", asked=queries()[:-1])
    message = refused(runs[0], other)
    assert f"{runs[0]} and {other} do not answer the same queries: only {runs[0]} has '39_2'" in message


def test_other_windows_under_the_same_ids_are_refused(runs, tmp_path):
    asked = queries()
    asked[4] = Query("1_1", "a sound", "v1", 60.0, ((3.0, 9.0),))
    message = refused(runs[0], make_run(tmp_path / "other", asked=asked))
    assert "'1_1' have other windows" in message


def test_other_recordings_under_the_same_ids_are_refused_with_both_names(runs, tmp_path):
    asked = queries()
    asked[4] = replace(asked[4], vid="w")
    message = refused(runs[0], make_run(tmp_path / "other", asked=asked))
    assert "1 queries are about other recordings, e.g. '1_1' about 'v1' and 'w'." in message
    truth = tmp_path / "truth.jsonl"
    write_annotations(truth, asked)
    file = runs[0] / "predictions/seed-0.test.jsonl"
    assert refused(file, truth=truth, error=DataError).startswith(
        f"{file} against {truth}: 1 of {len(asked)} predictions are about other recordings than the queries "
        "with their ids: the prediction for '1_1' is about 'v1', the query about 'w'."
    )


def refused_chains(one, two, counts):
    """Say how runs are refused of whose chains some share stages."""
    return (
        f"{one} has {counts[0]} seeds, {two} has {counts[1]}, and they share stages of {counts[2]} only, so "
        "they are neither pairs of chains nor trained apart. Run both recipes with the same --seeds; "
        "finished stages are kept."
    )


@pytest.mark.parametrize("seeds", [1, 2])
def test_chains_that_share_stages_need_the_same_seeds(tmp_path, seeds):
    one, two = (
        make_chains(tmp_path / name, seeds=count, stages="both") for name, count in (("a", 3), ("b", seeds))
    )
    assert refused(one, two) == refused_chains(two, one, (seeds, 3, seeds))
    apart = make_chains(tmp_path / "apart", seeds=seeds)
    assert row_of(compare([one, apart]), "apart").difference is not None


def test_chains_of_which_some_share_stages_are_refused(tmp_path):
    records = chain_records("pre", "other", 3)
    records["stages"] = [
        stage if stage.key != "pre-0" else stage.model_copy(update={"key": "new-0"})
        for stage in records["stages"]
    ]
    one = make_run(tmp_path / "a", seeds=3, chains="own", **chain_records("pre", "last", 3))
    two = make_run(tmp_path / "b", seeds=3, chains="own", **records)
    assert refused(one, two) == refused_chains(two, one, (3, 3, 2))


def test_fine_tunes_of_one_pre_training_may_have_other_seeds(tmp_path):
    sources = [
        make_chains(tmp_path / name, seeds=seeds, stages="both", chains="shared")
        for name, seeds in (("a", 3), ("b", 2))
    ]
    assert row_of(compare(sources), "b").difference is not None


def test_prediction_files_need_annotations_and_runs_do_not(runs):
    file = runs[0] / "predictions/seed-0.test.jsonl"
    assert f"{file}: not a run (no result.json)" in refused(file)
    assert "--truth FILE" in refused(file)
    truth = runs[0] / "annotations.test.jsonl"
    assert f"{truth}: runs bring their own annotations" in refused(*runs, truth=truth)


def test_missing_sources_are_named(runs, tmp_path):
    missing = tmp_path / "nowhere"
    assert f"{missing}: there is no such run" in refused(missing)
    (tmp_path / "empty").mkdir()
    message = refused(tmp_path / "empty", truth=runs[0] / "annotations.test.jsonl")
    assert "no run and no prediction file (*.jsonl) here" in message
    assert "nothing to compare" in refused()


def test_an_unknown_form_names_the_known_ones(runs):
    with pytest.raises(RunError, match=r"no table format 'tex'.*Use github, tsv, latex, json"):
        compare(runs).text("tex")


def test_comparing_needs_no_torch(runs):
    code = (
        "import sys; from pathlib import Path; from amrbench.evaluation.compare import compare\n"
        "compare([Path(name) for name in sys.argv[1:]]).text(); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *map(str, runs)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"
