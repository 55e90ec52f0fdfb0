"""A reference checkpoint, read and run by the plain CG-DETR, predicts what the reference predicts."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench_plugins.cgdetr.reference_checkpoint import config_of
from amrbench_plugins.cgdetr.reference_options import last_second
from tests.folders import DATA
from tests.oracle import cgdetr_cases
from tests.oracle.cgdetr import CGDETR, Outputs
from tests.oracle.cgdetr_predict import (
    TIE,
    ScoredWindow,
    inside_ties,
    normalise_rows,
    raw_windows,
    read_inputs,
    submission_windows,
)
from tests.oracle.golden_cases import used

FOLDER = DATA / "lighthouse_checkpoint"
SMALL = json.loads((DATA / "cgdetr" / "targets.json").read_text())["functions"]


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


@cache
def predicted() -> list[Outputs]:
    checkpoint = read_checkpoint(FOLDER / "best.ckpt")
    config = config_of(checkpoint)
    model = CGDETR(config).eval()
    model.load_state_dict(used(checkpoint.weights))
    features = FOLDER / "features" / "castella"
    with torch.no_grad():
        return [
            model(read_inputs(features, qid=row["qid"], vid=row["vid"], config=config))
            for row in rows("data/castella_test_release.jsonl")
        ]


@cache
def raw() -> list[list[ScoredWindow]]:
    annotations = rows("data/castella_test_release.jsonl")
    return [raw_windows(o, 0, row["duration"]) for o, row in zip(predicted(), annotations, strict=True)]


def as_rows(windows: list[ScoredWindow]) -> list[list[float]]:
    return [[w.start, w.end, w.score] for w in windows]


def test_raw_windows_equal_the_reference() -> None:
    known = rows("expected_raw.jsonl")
    assert len(known) == len(raw()) == 14
    for row, windows in zip(known, raw(), strict=True):
        for a, b in zip(
            inside_ties(as_rows(windows)), inside_ties(row["pred_relevant_windows"]), strict=True
        ):
            assert_close(torch.tensor(a), torch.tensor(b), rtol=0, atol=2e-4)


def test_saliency_equals_the_reference() -> None:
    for row, outputs in zip(rows("expected_raw.jsonl"), predicted(), strict=True):
        assert_close(outputs.saliency[0], torch.tensor(row["saliency"]), rtol=0, atol=2e-5)


def test_submission_rows_equal_the_reference() -> None:
    limit = last_second(read_checkpoint(FOLDER / "best.ckpt"))
    for row, windows in zip(rows("expected_submission.jsonl"), raw(), strict=True):
        ours = as_rows(submission_windows(windows, last_second=limit, clip_length=1.0))
        theirs = row["pred_relevant_windows"]
        for a, b in zip(inside_ties(ours), inside_ties(theirs), strict=True):
            assert [w[:2] for w in a] == [w[:2] for w in b]
            assert_close(torch.tensor(a), torch.tensor(b), rtol=0, atol=TIE * 1.01)


@pytest.mark.parametrize("case", cgdetr_cases.WITHOUT_TARGETS)
def test_decoded_windows_of_the_golden_cases_equal_the_reference(case: str) -> None:
    with torch.no_grad():
        outputs = cgdetr_cases.model()(cgdetr_cases.inputs(case))
    known = cgdetr_cases.numbers()["cases"][case]
    for row, (duration, known_windows) in enumerate(zip(known["durations"], known["decoded"], strict=True)):
        windows = raw_windows(outputs, row, duration)
        before = inside_ties(known_windows["before_post"])
        for a, b in zip(inside_ties(as_rows(windows)), before, strict=True):
            assert_close(torch.tensor(a), torch.tensor(b), rtol=0, atol=2e-4)
        after = as_rows(submission_windows(windows, last_second=300, clip_length=1))
        assert sorted(w[:2] for w in after) == sorted(w[:2] for w in known_windows["after_post"])


def test_post_processing_equals_the_reference() -> None:
    known = SMALL["postprocess_castella"]
    given = [ScoredWindow(*(round(number, 4) for number in row)) for row in known["x"]]
    assert as_rows(submission_windows(given, last_second=300, clip_length=1)) == known["y"]


def test_row_normalisation_equals_the_reference() -> None:
    known = SMALL["l2_normalise"]
    assert_close(normalise_rows(torch.tensor(known["x"])), torch.tensor(known["y"]))
