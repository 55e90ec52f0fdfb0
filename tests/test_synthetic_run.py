"""The main job at full length: does the baseline learn the synthetic world, and learn it from the text?"""

import pytest

import amrbench
from amrbench.running.runner import Settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("main-job")
    return amrbench.run("cgdetr", settings=Settings(out=folder / "runs", cache=folder / "cache"))


def best_prior(run, metric):
    return max(row.metrics[metric] for row in run.results.rows if row.kind == "prior")


def test_there_are_enough_queries_to_tell_recipes_apart(run):
    assert run.results.row("mean").queries >= 600


def test_the_baseline_learns_far_more_than_a_guess(run):
    learned = run.results.row("mean").metrics["R1@0.7"]
    assert learned >= 15
    assert learned >= 4 * best_prior(run, "R1@0.7")


def test_the_baseline_needs_the_text(run):
    shuffled = run.results.row("seed 0, queries shuffled").metrics
    for metric in ("R1@0.5", "R1@0.7"):
        assert shuffled[metric] <= run.results.row("seed 0").metrics[metric] / 2


def test_there_is_room_above_the_baseline(run):
    mean = run.results.row("mean")
    assert 30 <= mean.metrics["R1@0.5"] <= 80
    kinds = {part.value: part.metrics["R1@0.5"] for part in mean.slices["kind"]}
    assert kinds["then"] < kinds["single"]
    assert kinds["while"] < kinds["single"]
