"""The main job of the README at full length: what the models learn, and that they need the text for it."""

import pytest

import amrbench
from amrbench.experiment.run import Settings, compare_with_baseline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("main-job")
    return amrbench.run("ours3", settings=Settings(out=folder / "runs", cache=folder / "cache"))


@pytest.fixture(scope="module")
def baseline(run):
    return next(other.result for other in run.against if other.result.recipe.name == "cgdetr")


def best_baseline(results, metric):
    return max(row.metrics[metric] for row in results.rows if row.kind == "prior")


def test_there_are_enough_queries_to_tell_recipes_apart(run):
    assert run.result.row("mean").queries >= 500


def test_both_learn_far_more_than_a_guess(run, baseline):
    for results in (run.result, baseline):
        learned = results.row("mean").metrics["R1@0.7"]
        assert learned >= 15
        assert learned >= 4 * best_baseline(results, "R1@0.7")


def test_both_need_the_text(run, baseline):
    for results in (run.result, baseline):
        shuffled = results.row("seed 0, queries shuffled").metrics
        for metric in ("R1@0.5", "R1@0.7"):
            assert shuffled[metric] <= results.row("seed 0").metrics[metric] / 2


def test_there_is_room_above_the_baseline(baseline):
    mean = baseline.row("mean")
    assert 30 <= mean.metrics["R1@0.5"] <= 80
    kinds = {part.value: part.metrics["R1@0.5"] for part in mean.slices["kind"]}
    assert kinds["while"] < kinds["single"]


def test_the_report_is_better_than_its_baseline(run):
    (comparison,) = compare_with_baseline([run])
    lines = {(line.recipe, line.member, line.metric): line for line in comparison.lines}
    assert lines["ours3", "mean of 2 seeds", "R1@0.5"].difference.low > 0
