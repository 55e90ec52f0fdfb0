"""The golden cases of QD-DETR: inputs, targets and the outputs of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amrbench.types import Checkpoint
from amrbench_plugins.qddetr.reference_checkpoint import Config
from tests.folders import DATA
from tests.oracle.cgdetr import Inputs, tiled_keys
from tests.oracle.cgdetr_loss import Targets
from tests.oracle.cgdetr_predict import normalise_rows, temporal
from tests.oracle.golden_cases import GoldenCases, assert_sums, read_json, used
from tests.oracle.qddetr import QDDETR

GOLDEN = GoldenCases(DATA / "qddetr")
arrays, numbers = GOLDEN.arrays, GOLDEN.numbers
parameters, weights = GOLDEN.parameters, GOLDEN.weights
inputs, golden, expected = GOLDEN.inputs, GOLDEN.golden, GOLDEN.expected
assert_gradients = GOLDEN.assert_gradients
WITH_TARGETS = ("main", "one_same_neighbour", "two_same_of_four", "batch_of_one")
WITHOUT_TARGETS = ("inference", *(f"inference_single_{row}" for row in range(3)))
CASES = WITH_TARGETS + WITHOUT_TARGETS
WITH_GRADIENTS = ("main", "one_same_neighbour", "batch_of_one")

CONFIG = Config(
    width=32, heads=4, feedforward=48, audio_width=24, text_width=20,
    cross_layers=2, encoder_layers=2, decoder_layers=2, queries=5, max_clips=40, max_words=32,
    clip_length=1.0, dropout=0.0, input_dropout=0.0,
)  # fmt: skip
FULL_CONFIG = replace(
    CONFIG, width=256, heads=8, feedforward=1024, audio_width=768, text_width=768, queries=10, max_clips=300,
    dropout=0.1, input_dropout=0.5,
)  # fmt: skip


def full_width() -> dict[str, Any]:
    """Lengths and outputs at the full size."""
    return read_json(GOLDEN.folder / "full_width.json")


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


def targets(case: str) -> Targets:
    """The targets of one case."""
    stored = GOLDEN.target_arrays(case)
    labels = stored["saliency_all_labels"]
    return Targets(
        spans=[stored[f"spans_{row}"] for row in range(len(labels))],
        labels=labels,
        positives=stored["saliency_pos_labels"],
        negatives=stored["saliency_neg_labels"],
    )


def between(name: str) -> Tensor:
    """A tensor inside the reference in the case `main`, batch first: "mid/..." or "mid_neg/..."."""
    value = arrays()[f"main/{name}"]
    return value if "decoder_" in name else value.transpose(0, 1)


def assert_sums_after_steps(values: Mapping[str, Tensor]) -> None:
    """Compare the sum of each parameter after three steps with that of the reference."""
    assert_sums(values, numbers()["cases"]["optimizer_steps"]["param_sums_after_3_steps"])
