"""The plain CG-DETR and the plain metrics of the tests, to be timed: see `implementations.Implementation`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amrbench.types import Moments, Query
from benchmarks.problems import Problem
from tests.oracle import metrics_by_hand
from tests.oracle.cgdetr import CGDETR
from tests.oracle.cgdetr_cases import FULL_CONFIG
from tests.oracle.cgdetr_loss import criterion

CLIP, RATE, WEIGHT_DECAY = 0.1, 1e-4, 1e-4

Weights = Mapping[str, Tensor]


def with_weights(weights: Weights) -> CGDETR:
    model = CGDETR(FULL_CONFIG)
    model.load_state_dict(weights)
    return model


def training_step(problem: Problem, weights: Weights) -> Callable[[], Tensor]:
    model = with_weights(weights).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY, fused=True)

    def step() -> Tensor:
        optimizer.zero_grad()
        total = criterion(model, model(problem.inputs), problem.targets).total
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return total.detach()

    return step


def loss(problem: Problem, weights: Weights) -> float:
    model = with_weights(weights).eval()
    with torch.no_grad():
        return float(criterion(model, model(problem.inputs), problem.targets).total)


def prediction(problem: Problem, weights: Weights) -> Callable[[], Tensor]:
    # Without recordings the plain module makes no negative pass, as the reference when it predicts.
    model, inputs = with_weights(weights).eval(), replace(problem.inputs, recordings=[])
    return torch.no_grad()(lambda: model(inputs).spans[-1])


def evaluate(predictions: Path, truth: Path) -> Mapping[str, float]:
    moments = [
        Moments(row["qid"], row["vid"], table[:, :2], table[:, 2])
        for row in rows_of(predictions)
        for table in [np.array(row["pred_relevant_windows"], np.float64)]
    ]
    queries = [
        Query(row["qid"], row["query"], row["vid"], row["duration"], tuple(row["relevant_windows"]))
        for row in rows_of(truth)
    ]
    return metrics_by_hand.metrics(moments, queries)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
