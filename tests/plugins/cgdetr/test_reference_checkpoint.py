"""The configuration of a CG-DETR of the reference; `test_reference_options` has what all models share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amrbench.errors import CheckpointError
from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.types import Checkpoint, Plain
from amrbench_plugins.cgdetr.reference_checkpoint import Config, config_of
from tests.folders import DATA
from tests.oracle import cgdetr_cases
from tests.oracle.cgdetr import CGDETR
from tests.oracle.golden_cases import used

PUBLISHED = DATA / "lighthouse_checkpoint" / "best.ckpt"

CONFIG = Config(
    width=32, heads=4, feedforward=64, audio_width=768, text_width=768,
    cross_layers=2, encoder_layers=2, decoder_layers=2, dummy_layers=2, sentence_layers=1, moment_layers=1,
    dummies=3, prompts=10, prompts_used=2, queries=5, max_clips=300, max_words=32,
    clip_length=1.0, dropout=0.1, input_dropout=0.5,
)  # fmt: skip


@pytest.fixture
def checkpoint() -> Checkpoint:
    return read_checkpoint(PUBLISHED)


def with_options(checkpoint: Checkpoint, **changed: Plain) -> Checkpoint:
    return replace(checkpoint, options={**checkpoint.options, **changed})


def without(checkpoint: Checkpoint, start: str) -> Checkpoint:
    kept = {name: value for name, value in checkpoint.weights.items() if not name.startswith(start)}
    return replace(checkpoint, weights=kept)


def test_configuration_of_the_published_checkpoint(checkpoint: Checkpoint) -> None:
    assert config_of(checkpoint) == CONFIG


def test_configuration_of_the_golden_model() -> None:
    assert config_of(cgdetr_cases.checkpoint()) == cgdetr_cases.CONFIG


def test_the_weights_fit_a_model_of_the_configuration(checkpoint: Checkpoint) -> None:
    model = CGDETR(config_of(checkpoint))
    model.load_state_dict(used(checkpoint.weights))
    assert len(checkpoint.weights) - len(used(checkpoint.weights)) == 7


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("model_name", "qd_detr", "option 'model_name' is 'qd_detr'; only 'cg_detr' can be read as CG-DETR"),
        ("num_prompts", 11, "option 'num_prompts' is 11, but there are only 10 prompts"),
    ],
)
def test_a_wrong_option_is_named(checkpoint: Checkpoint, option: str, value: Plain, text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        config_of(with_options(checkpoint, **{option: value}))
    assert f"best.ckpt: {text}" in str(caught.value)


@pytest.mark.parametrize(
    ("start", "text"),
    [
        ("dummy_rep_token", "no tensor 'dummy_rep_token', so this is no CG-DETR checkpoint"),
        ("txtproj_encoder.layers.0.", "the stack 'txtproj_encoder' lacks layer '0'"),
    ],
)
def test_a_missing_tensor_is_named(checkpoint: Checkpoint, start: str, text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        config_of(without(checkpoint, start))
    assert f"best.ckpt: {text}" in str(caught.value)
