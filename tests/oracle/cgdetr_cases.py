"""The golden cases of CG-DETR: inputs, targets and the outputs of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from amrbench.types import Checkpoint
from amrbench_plugins.cgdetr.reference_checkpoint import Config
from tests.folders import DATA
from tests.oracle.cgdetr import CGDETR, tiled_keys
from tests.oracle.cgdetr_loss import Targets
from tests.oracle.golden_cases import GoldenCases, assert_sums

GOLDEN = GoldenCases(DATA / "cgdetr")
arrays, numbers = GOLDEN.arrays, GOLDEN.numbers
parameters, weights = GOLDEN.parameters, GOLDEN.weights
inputs, golden, expected = GOLDEN.inputs, GOLDEN.golden, GOLDEN.expected
WITH_TARGETS = ("main", "one_same_neighbour", "all_same", "two_same_of_four", "batch_of_one")
WITHOUT_TARGETS = ("inference", "inference_no_vid", *(f"inference_single_{row}" for row in range(3)))
CASES = WITH_TARGETS + WITHOUT_TARGETS
WITH_GRADIENTS = ("main", "one_same_neighbour", "all_same")

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


def checkpoint() -> Checkpoint:
    """The golden weights and options as a checkpoint of the reference."""
    options = {**numbers()["config"], "ctx_mode": "audio_tef"}
    return Checkpoint(Path("golden"), weights(), options)


def model() -> CGDETR:
    """The plain model with the golden weights and the mask tiling that the golden run had."""
    built = CGDETR(CONFIG, pair_mask=tiled_keys)
    built.load_state_dict(weights())
    return built.eval()


def targets(case: str) -> Targets:
    """The targets of one case."""
    stored = GOLDEN.target_arrays(case)
    count = len(stored["relevant_clips"])
    return Targets(
        spans=[stored[f"spans_{row}"] for row in range(count)],
        labels=stored["relevant_clips"],
        positives=stored["saliency_pos_labels"],
        negatives=stored["saliency_neg_labels"],
    )


def assert_gradients(case: str, gradients: Mapping[str, Tensor]) -> None:
    """Compare gradients; the ramp over one number is 1, as the direction of the first step shows."""
    GOLDEN.assert_gradients(case, gradients, ramp_of_one=1.0)


def assert_sums_after_steps(values: Mapping[str, Tensor]) -> None:
    """Compare the sum of each parameter after three steps with that of the reference."""
    assert_sums(values, numbers()["steps"]["param_sums_after_3_steps"])
