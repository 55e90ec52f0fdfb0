import json

import pytest

from amrbench.evaluation.score_files import score_files
from amrbench.experiment.predictions import CONTROL

METRICS = ["R1@0.5", "R1@0.7", "R5@0.5", "R5@0.7", "mAP", "mAP@0.5", "mAP@0.75"]


def test_a_run_learns_and_its_control_does_not(finished):
    results = finished.result
    assert [row.member for row in results.rows] == [
        *("seed 0", "seed 1", "mean", CONTROL, "always 0-10 s", "whole recording")
    ]
    assert list(results.row("mean").metrics) == METRICS
    assert results.row("mean").metrics["R1@0.5"] > 1.5 * results.row(CONTROL).metrics["R1@0.5"]
    assert all(row.queries == 24 for row in results.rows)
    assert results.stand_ins == "one-hot stands in for absent"


def test_the_score_command_gives_the_same_metrics(finished):
    for row in finished.result.rows:
        if row.kind == "mean":
            continue
        truth = finished.folder / finished.result.truth
        report = score_files(finished.folder / row.predictions, truth, by="kind")
        assert report.scores.metrics == row.metrics
        assert {part.value: part.metrics for part in row.slices["kind"]} == {
            value: scores.metrics for value, scores in report.slices.items()
        }


def test_the_mean_is_that_of_the_seeds(finished):
    first, second, mean = (finished.result.row(name) for name in ("seed 0", "seed 1", "mean"))
    for name in METRICS:
        assert mean.metrics[name] == pytest.approx((first.metrics[name] + second.metrics[name]) / 2)
        parts = [row.slices["kind"][1].metrics[name] for row in (first, second, mean)]
        assert parts[2] == pytest.approx((parts[0] + parts[1]) / 2)


def test_prediction_files_have_one_line_for_each_query_in_order(finished):
    def qids(file: str) -> list[str]:
        return [json.loads(line)["qid"] for line in (finished.folder / file).read_text().splitlines()]

    assert qids("predictions/seed-0.test.jsonl") == qids("annotations.test.jsonl")


def test_a_model_without_saliency_leaves_no_saliency_file(finished):
    assert not any(row.saliency for row in finished.result.rows)
    assert not (finished.folder / "saliency").exists()
