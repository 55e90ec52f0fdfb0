"""The golden cases of QD-DETR: inputs, targets and the outputs of the reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from amrbench.types import Checkpoint
from amrbench_plugins.cgdetr.reference_options import UNUSED_PREFIXES
from amrbench_plugins.qddetr.reference_checkpoint import Config
from tests.folders import DATA
from tests.oracle.cgdetr import Inputs, tiled_keys
from tests.oracle.cgdetr_loss import Targets
from tests.oracle.cgdetr_predict import normalise_rows, temporal
from tests.oracle.qddetr import QDDETR

FOLDER = DATA / "qddetr"
WITH_TARGETS = ("main", "one_same_neighbour", "two_same_of_four", "batch_of_one")
WITHOUT_TARGETS = ("inference", *(f"inference_single_{row}" for row in range(3)))
CASES = WITH_TARGETS + WITHOUT_TARGETS
WITH_GRADIENTS = ("main", "one_same_neighbour", "batch_of_one")
OUTPUT = {"atol": 2e-5, "rtol": 0.0}
LOSS = {"rel": 1e-5, "abs": 1e-7}

CONFIG = Config(
    width=32, heads=4, feedforward=48, audio_width=24, text_width=20,
    cross_layers=2, encoder_layers=2, decoder_layers=2, queries=5, max_clips=40, max_words=32,
    clip_length=1.0, dropout=0.0, input_dropout=0.0,
)  # fmt: skip
FULL_CONFIG = replace(
    CONFIG, width=256, heads=8, feedforward=1024, audio_width=768, text_width=768, queries=10, max_clips=300,
    dropout=0.1, input_dropout=0.5,
)  # fmt: skip


@cache
def arrays() -> dict[str, Tensor]:
    """All arrays by `<case>/in|target|out|mid|mid_neg/<name>` and `param/<reference name>`."""
    with np.load(FOLDER / "small.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


@cache
def numbers() -> dict[str, Any]:
    """Losses, matches, gradients and decoded windows of the cases, and the optimiser steps."""
    return json.loads((FOLDER / "small.json").read_text())


@cache
def parameters() -> dict[str, Any]:
    """Names, shapes, counts and initial statistics at the full size."""
    return json.loads((FOLDER / "parameters.json").read_text())


@cache
def full_width() -> dict[str, Any]:
    """Lengths and outputs at the full size."""
    return json.loads((FOLDER / "full_width.json").read_text())


def used(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that the forward pass or a loss of the reference uses."""
    return {name: value for name, value in weights.items() if not name.startswith(UNUSED_PREFIXES)}


def weights() -> dict[str, Tensor]:
    """Parameters by the reference's names, without the unused ones."""
    stored = {name[6:]: value for name, value in arrays().items() if name.startswith("param/")}
    return {name: value.clone() for name, value in used(stored).items()}


def checkpoint() -> Checkpoint:
    """The golden weights and options as a checkpoint of the reference."""
    return Checkpoint(Path("golden"), weights(), numbers()["config"])


def full_width_weights() -> dict[str, Tensor]:
    """The weights at the full size, as the note of their file makes them."""
    draw, made = np.random.RandomState(256), {}
    for name, shape in parameters()["parameters"]:
        uniform = draw.uniform(-1, 1, shape)
        if len(shape) > 1:
            value = uniform * np.sqrt(3 / shape[-1])
        elif name.endswith("weight") and "norm" in name.lower():
            value = 1 + 0.1 * uniform
        elif name.endswith("activation.weight"):
            value = 0.25 + 0.1 * uniform
        else:
            value = 0.1 * uniform
        made[name] = torch.from_numpy(value.astype(np.float32))
    return used(made)


def full_width_checkpoint() -> Checkpoint:
    """The same as a checkpoint of the reference."""
    return Checkpoint(Path("full width"), full_width_weights(), parameters()["config"])


def full_width_inputs() -> Inputs:
    """The batch at the full size."""
    draw, rows = np.random.RandomState(257), []
    for frames, words in zip(full_width()["lens_audio"], full_width()["lens_text"], strict=True):
        drawn = [draw.uniform(-1, 1, (length, 768)).astype(np.float32) for length in (frames, words)]
        rows.append([normalise_rows(torch.from_numpy(rows)) for rows in drawn])
    audio, text = ([sample[side] for sample in rows] for side in range(2))

    def pad(samples: list[Tensor]) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(samples, batch_first=True)

    return Inputs(
        text=pad(text),
        text_mask=pad([torch.ones(len(rows)) for rows in text]) > 0,
        temporal=pad([temporal(len(rows)) for rows in audio]),
        audio=pad(audio),
        audio_mask=pad([torch.ones(len(rows)) for rows in audio]) > 0,
        recordings=[],
    )


def model() -> QDDETR:
    """The plain model with the golden weights and the mask tiling that the golden run had."""
    built = QDDETR(CONFIG, pair_mask=tiled_keys)
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
        recordings=numbers()["cases"][case]["vid"],
    )


def targets(case: str) -> Targets:
    """The targets of one case."""
    start = f"{case}/target/"
    stored = {name[len(start) :]: a for name, a in arrays().items() if name.startswith(start)}
    labels = stored["saliency_all_labels"]
    return Targets(
        spans=[stored[f"spans_{row}"] for row in range(len(labels))],
        labels=labels,
        positives=stored["saliency_pos_labels"],
        negatives=stored["saliency_neg_labels"],
    )


def golden(case: str, name: str) -> Tensor:
    """An output of the reference."""
    return arrays()[f"{case}/out/{name}"]


def between(name: str) -> Tensor:
    """A tensor inside the reference in the case `main`, batch first: "mid/..." or "mid_neg/..."."""
    value = arrays()[f"main/{name}"]
    return value if "decoder_" in name else value.transpose(0, 1)


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
        assert float(gradient.norm()) == pytest.approx(norm, rel=1e-4, abs=1e-6), name
        slack = 1e-4 * norm * float(slope.norm()) + 1e-6
        assert float(gradient @ slope) == pytest.approx(dot, rel=0, abs=slack), name


def assert_sums_after_steps(values: Mapping[str, Tensor]) -> None:
    """Compare the sum of each parameter after three steps with that of the reference."""
    known = numbers()["cases"]["optimizer_steps"]["param_sums_after_3_steps"]
    for name, value in values.items():
        total = float(value.detach().double().sum())
        assert total == pytest.approx(known[name], rel=1e-5, abs=2e-5), name
