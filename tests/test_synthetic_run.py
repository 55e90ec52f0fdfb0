"""The main job of the README at full length: what the models learn, and that they need the text for it."""

import pytest

import amrbench
from amrbench.experiment.run import Settings, compare_with_baseline

pytestmark = pytest.mark.slow
CONTROL = "seed 0, queries shuffled"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("main-job")
    return amrbench.run("ours3", settings=Settings(out=folder / "runs", cache=folder / "cache"))


@pytest.fixture(scope="module")
def results(run):
    """Return the results of all recipes of the table, by their names."""
    return {each.recipe.name: each for each in run.all_results}


def value(results, metric, member="mean"):
    return results.row(member).metrics[metric]


def test_there_are_enough_queries_to_tell_recipes_apart(run):
    assert run.result.row("mean").queries >= 500


def test_a_guess_is_worth_little(run):
    assert value(run.result, "R1@0.7", "always 0-10 s") <= 3


def test_the_report_learns_far_more_than_a_guess_and_needs_the_text(run):
    assert value(run.result, "R1@0.7") >= 4 * value(run.result, "R1@0.7", "always 0-10 s")
    for metric in ("R1@0.5", "R1@0.7"):
        assert value(run.result, metric, CONTROL) <= value(run.result, metric, "seed 0") / 2


def test_the_saliency_of_both_detectors_depends_on_the_text(results):
    for name in ("ours3-search", "cgdetr-search"):
        assert value(results[name], "R1@0.7", CONTROL) <= value(results[name], "R1@0.7") / 2


def test_moments_read_out_of_the_saliency_are_better_than_those_of_the_decoder(results):
    for name in ("ours3", "cgdetr"):
        assert value(results[f"{name}-search"], "R1@0.7") >= value(results[name], "R1@0.7") + 5


def test_there_is_room_above_the_best_and_queries_about_two_sounds_are_harder(results):
    mean = results["sliding-window"].row("mean")
    assert 30 <= mean.metrics["R1@0.5"] <= 80
    kinds = {part.value: part.metrics["R1@0.5"] for part in mean.slices["kind"]}
    assert kinds["while"] < kinds["single"]


def test_the_report_is_better_than_its_baseline(run):
    (comparison,) = compare_with_baseline([run])
    lines = {(line.recipe, line.member, line.metric): line for line in comparison.lines}
    assert lines["ours3", "mean of 2 seeds", "R1@0.5"].difference.low > 0
