"""Implementations that are timed beside ours: equality comes first, and one can come from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from amrbench.files.annotations import write_annotations
from amrbench.files.predictions import write_predictions
from benchmarks import plain
from benchmarks.drawn_predictions import drawn_predictions, drawn_truth
from benchmarks.implementations import (
    OURS,
    VARIABLE,
    equal_losses,
    equal_metrics,
    equal_spans,
    offered,
    outside,
)
from benchmarks.problems import problem, reference_weights
from tests.folders import ROOT


def test_the_plain_module_computes_what_ours_does(tmp_path: Path) -> None:
    given, weights = problem(2, 60), reference_weights()
    assert equal_losses(plain, given, weights)
    assert equal_spans(OURS.prediction(given, weights)(), plain.prediction(given, weights)())
    files = tmp_path / "predictions.jsonl", tmp_path / "truth.jsonl"
    write_predictions(files[0], drawn_predictions(50))
    write_annotations(files[1], drawn_truth(50))
    assert equal_metrics(OURS.evaluate(*files), plain.evaluate(*files))


def test_differences_are_noticed() -> None:
    spans = torch.rand(2, 3, 2)
    with pytest.raises(AssertionError, match="the predicted spans differ"):
        equal_spans(spans, spans + 0.001)
    with pytest.raises(AssertionError):
        equal_metrics({"mAP": 10.0}, {"mAP": 10.1})


def test_what_cannot_be_compared_is_reported_as_unchecked() -> None:
    assert not equal_losses(SimpleNamespace(), problem(2, 60), {})
    assert not equal_spans(torch.rand(2, 3, 2), None)
    assert not equal_metrics({"mAP": 10.0}, {"map": 10.0})


def test_without_the_variable_the_tests_of_another_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="AMRBENCH_OUTSIDE names no module"):
        outside()


def test_a_module_that_cannot_be_imported_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "nowhere.at_all")
    with pytest.raises(pytest.UsageError) as error:
        outside()
    assert str(error.value) == "AMRBENCH_OUTSIDE=nowhere.at_all cannot be imported: No module named 'nowhere'"


def test_functions_that_a_module_does_not_have_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "json")
    with pytest.raises(pytest.skip.Exception, match="json has no function 'training_step'"):
        offered("outside", "training_step")


def test_a_module_that_the_variable_names_is_timed_in_the_same_run() -> None:
    one = "benchmarks/bench_cgdetr.py::test_prediction[outside-1-60]"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--benchmark-enable", "-s", one],
        cwd=ROOT,
        env={**os.environ, VARIABLE: "benchmarks.plain"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "of processor time: ratio" in ran.stdout
    assert "NOT CHECKED" not in ran.stdout
