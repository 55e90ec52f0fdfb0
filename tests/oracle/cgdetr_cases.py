"""The golden cases of CG-DETR: inputs, targets and the outputs of the reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from amrbench.types import Checkpoint
from amrbench_plugins.cgdetr.reference_checkpoint import Config
from amrbench_plugins.cgdetr.reference_options import UNUSED_PREFIXES
from tests.folders import DATA
from tests.oracle.cgdetr import CGDETR, Inputs, tiled_keys
from tests.oracle.cgdetr_loss import Targets

FOLDER = DATA / "cgdetr"
WITH_TARGETS = ("main", "one_same_neighbour", "all_same", "two_same_of_four", "batch_of_one")
WITHOUT_TARGETS = ("inference", "inference_no_vid", *(f"inference_single_{row}" for row in range(3)))
CASES = WITH_TARGETS + WITHOUT_TARGETS
WITH_GRADIENTS = ("main", "one_same_neighbour", "all_same")
OUTPUT = {"atol": 2e-5, "rtol": 0.0}
LOSS = {"rel": 1e-5, "abs": 1e-7}

CONFIG = Config(
    width=32, heads=4, feedforward=48, audio_width=24, text_width=20,
    cross_layers=2, encoder_layers=2, decoder_layers=2, dummy_layers=2, sentence_layers=1, moment_layers=1,
    dummies=3, prompts=6, prompts_used=2, queries=5, max_clips=16, max_words=8,
    clip_length=1.0, dropout=0.0, input_dropout=0.0,
)  # fmt: skip

FULL_CONFIG = Config(
    width=256, heads=8, feedforward=1024, audio_width=768, text_width=768,
    cross_layers=2, encoder_layers=3, decoder_layers=3, dummy_layers=2, sentence_layers=1, moment_layers=1,
    dummies=45, prompts=10, prompts_used=2, queries=10, max_clips=300, max_words=32,
    clip_length=1.0, dropout=0.1, input_dropout=0.5,
)  # fmt: skip


@cache
def arrays() -> dict[str, Tensor]:
    """All arrays by `<case>/in|target|out|mid/<name>` and `param/<reference name>`."""
    with np.load(FOLDER / "small.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


@cache
def numbers() -> dict[str, Any]:
    """Losses, matches, gradients and decoded windows of the cases, and the optimiser steps."""
    return json.loads((FOLDER / "small.json").read_text())


def weights() -> dict[str, Tensor]:
    """Parameters by the reference's names, without the unused ones."""
    stored = {name[6:]: value for name, value in arrays().items() if name.startswith("param/")}
    return {name: value.clone() for name, value in used(stored).items()}


def used(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that the forward pass or a loss of the reference uses."""
    return {name: value for name, value in weights.items() if not name.startswith(UNUSED_PREFIXES)}


def checkpoint() -> Checkpoint:
    """The golden weights and options as a checkpoint of the reference."""
    options = {**numbers()["config"], "ctx_mode": "audio_tef"}
    return Checkpoint(Path("golden"), weights(), options)


def model() -> CGDETR:
    """The plain model with the golden weights and the mask tiling that the golden run had."""
    built = CGDETR(CONFIG, pair_mask=tiled_keys)
    built.load_state_dict(weights())
    return built.eval()


def inputs(case: str) -> Inputs:
    """The batch of one case."""
    stored = {name.split("/")[-1]: a for name, a in arrays().items() if name.startswith(f"{case}/in/")}
    return Inputs(
        text=stored["src_txt"],
        text_mask=stored["src_txt_mask"] > 0,
        temporal=stored["src_vid"],
        audio=stored["src_aud"],
        audio_mask=stored["src_aud_mask"] > 0,
        recordings=numbers()["cases"][case]["vid"] or [],
    )


def targets(case: str) -> Targets:
    """The targets of one case."""
    start = f"{case}/target/"
    stored = {name[len(start) :]: a for name, a in arrays().items() if name.startswith(start)}
    count = len(stored["relevant_clips"])
    return Targets(
        spans=[stored[f"spans_{row}"] for row in range(count)],
        labels=stored["relevant_clips"],
        positives=stored["saliency_pos_labels"],
        negatives=stored["saliency_neg_labels"],
    )


def golden(case: str, name: str) -> Tensor:
    """An output of the reference."""
    return arrays()[f"{case}/out/{name}"]


def expected(case: str) -> dict[str, Any]:
    """Losses, matches and gradients of one case."""
    return numbers()["cases"][case]


def assert_gradients(case: str, gradients: Mapping[str, Tensor]) -> None:
    """Compare the norm of each gradient, and its product with a ramp, with those of the reference."""
    known = {name: value for name, value in expected(case)["grad_norm_and_ramp_dot"].items() if value}
    assert gradients.keys() == known.keys()
    for name, (norm, dot) in known.items():
        gradient = gradients[name].double().flatten()
        slope = torch.linspace(-1, 1, gradient.numel(), dtype=torch.float64)
        if gradient.numel() == 1:
            slope = -slope  # The golden run's ramp over one number is 1, as its first step's direction shows.
        assert float(gradient.norm()) == pytest.approx(norm, rel=1e-4, abs=1e-6), name
        slack = 1e-4 * norm * float(slope.norm()) + 1e-6
        assert float(gradient @ slope) == pytest.approx(dot, rel=0, abs=slack), name


def assert_sums_after_steps(values: Mapping[str, Tensor]) -> None:
    """Compare the sum of each parameter after three steps with that of the reference."""
    known = numbers()["steps"]["param_sums_after_3_steps"]
    for name, value in values.items():
        total = float(value.detach().double().sum())
        assert total == pytest.approx(known[name], rel=1e-5, abs=2e-5), name
