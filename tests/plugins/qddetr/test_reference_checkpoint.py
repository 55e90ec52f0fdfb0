"""The configuration of a QD-DETR of the reference; `cgdetr` tests what all models share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amrbench.errors import CheckpointError
from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.types import Checkpoint
from amrbench_plugins.qddetr.reference_checkpoint import Config, config_of
from tests.folders import DATA
from tests.oracle import qddetr_cases
from tests.oracle.golden_cases import used
from tests.oracle.qddetr import QDDETR

CONFIG = Config(
    width=32, heads=4, feedforward=64, audio_width=768, text_width=768,
    cross_layers=2, encoder_layers=2, decoder_layers=2, queries=5, max_clips=300, max_words=32,
    clip_length=1.0, dropout=0.1, input_dropout=0.5,
)  # fmt: skip


@pytest.fixture
def checkpoint() -> Checkpoint:
    return read_checkpoint(DATA / "qddetr_checkpoint" / "best.ckpt")


def test_configuration_of_the_published_checkpoint(checkpoint: Checkpoint) -> None:
    assert config_of(checkpoint) == CONFIG


def test_configuration_of_the_golden_model() -> None:
    assert config_of(qddetr_cases.checkpoint()) == qddetr_cases.CONFIG


def test_the_weights_fit_a_model_of_the_configuration(checkpoint: Checkpoint) -> None:
    model = QDDETR(config_of(checkpoint))
    model.load_state_dict(used(checkpoint.weights))
    assert len(checkpoint.weights) - len(used(checkpoint.weights)) == 3


def test_another_model_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(CheckpointError) as caught:
        config_of(replace(checkpoint, options={**checkpoint.options, "model_name": "cg_detr"}))
    assert str(caught.value).endswith(
        "best.ckpt: option 'model_name' is 'cg_detr'; only 'qd_detr' can be read as QD-DETR"
    )


def test_layers_of_cross_attention_follow_those_of_the_encoder(checkpoint: Checkpoint) -> None:
    start = "transformer.t2v_encoder.layers.1."
    kept = {name: value for name, value in checkpoint.weights.items() if not name.startswith(start)}
    with pytest.raises(CheckpointError, match="option 'enc_layers' is 2, but the tensors say 1"):
        config_of(replace(checkpoint, weights=kept))
