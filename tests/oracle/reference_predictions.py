"""Published prediction files and their scores by the official evaluator, from `tests/data`."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from amrbench.types import Moments, Query
from tests.folders import DATA

FOLDER = DATA / "predictions"
FILES = {
    "castella_test_c2b90e2": 1347,
    "castella_test_unrounded": 1347,
    "castella_val_best_c2b90e2": 352,
    "castella_val_best_dc689cd": 352,
    "castella_val_latest_a36f7a3": 352,
    "qvhighlights_val_cgdetr_best": 1550,
    "qvhighlights_val_sample": 1550,
}


@dataclass(frozen=True)
class Case:
    """Predictions, annotations and the known scores."""

    predictions: list[Moments]
    truth: list[Query]
    known: Mapping[str, Any]


@cache
def published(name: str) -> Case:
    known = _load(f"{name}.json.gz")
    return _case(known, _load(known["ground_truth"]))


@cache
def random_sets() -> list[Case]:
    return [_case(known, known["ground_truth"]) for known in _load("random_stress.json.gz")]


@cache
def edge_cases() -> dict[str, Case]:
    return {known["name"]: _case(known, known["ground_truth"]) for known in _load("edge_cases.json")}


def prediction_rows(name: str) -> list[dict[str, Any]]:
    return list(_load(f"{name}.json.gz")["predictions"])


def _load(name: str) -> Any:
    data = (FOLDER / name).read_bytes()
    return json.loads(gzip.decompress(data) if name.endswith(".gz") else data)


def _case(known: Mapping[str, Any], truth: list[dict[str, Any]]) -> Case:
    return Case([_moments(row) for row in known["predictions"]], [_query(row) for row in truth], known)


def _query(row: Mapping[str, Any]) -> Query:
    windows = tuple((float(start), float(end)) for start, end in row["windows"])
    return Query(row["qid"], "left out", row["vid"], float(row["duration"]), windows)


def _moments(row: Mapping[str, Any]) -> Moments:
    windows = row["pred_relevant_windows"]
    table = np.array(windows, dtype=np.float64).reshape(-1, len(windows[0]) if windows else 2)
    return Moments(row["qid"], row["vid"], table[:, :2], table[:, 2] if table.shape[1] == 3 else None)
