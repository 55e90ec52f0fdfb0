"""The configuration of a reference checkpoint, and messages about broken ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from amrbench.errors import CheckpointError
from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.types import Checkpoint, Plain
from amrbench_plugins.cgdetr.reference_checkpoint import Config, config_of
from amrbench_plugins.cgdetr.reference_options import last_second
from tests.folders import DATA
from tests.oracle import cgdetr_cases
from tests.oracle.cgdetr import CGDETR

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
    model.load_state_dict(cgdetr_cases.used(checkpoint.weights))
    assert len(checkpoint.weights) - len(cgdetr_cases.used(checkpoint.weights)) == 7


def test_the_lower_of_two_limits_holds(checkpoint: Checkpoint) -> None:
    assert config_of(with_options(checkpoint, max_v_l=75)).max_clips == 75
    assert config_of(with_options(checkpoint, max_a_l=60)).max_clips == 60


@pytest.mark.parametrize(
    ("name", "limit"), [("castella", 300.0), ("clotho-moment", 150.0), ("tut2017", 150.0)]
)
def test_the_last_second_depends_on_the_data_set(checkpoint: Checkpoint, name: str, limit: int) -> None:
    assert last_second(with_options(checkpoint, dset_name=name)) == limit


def test_an_unknown_data_set_is_named(checkpoint: Checkpoint) -> None:
    with pytest.raises(CheckpointError) as caught:
        last_second(with_options(checkpoint, dset_name="castela"))
    assert "best.ckpt: option 'dset_name' is 'castela'" in str(caught.value)
    assert "Did you mean 'castella'?" in str(caught.value)
    with pytest.raises(CheckpointError, match=r"option 'dset_name' is \['castella'\]"):
        last_second(with_options(checkpoint, dset_name=["castella"]))


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("model_name", "qd_detr", "option 'model_name' is 'qd_detr'; only 'cg_detr' can be read as CG-DETR"),
        ("ctx_mode", "video_tef", "option 'ctx_mode' is 'video_tef'; only 'audio_tef' can be read"),
        ("v_feat_dim", 512, "option 'v_feat_dim' is 512; only 2 can be read"),
        ("n_input_proj", 3, "option 'n_input_proj' is 3; only 2 can be read"),
        ("enc_layers", 3, "option 'enc_layers' is 3, but the tensors say 2"),
        ("a_feat_dim", 512, "option 'a_feat_dim' is 512, but the tensors say 768"),
        ("hidden_dim", 256, "option 'hidden_dim' is 256, but the tensors say 32"),
        ("num_queries", 10, "option 'num_queries' is 10, but the tensors say 5"),
        ("nheads", 5, "option 'nheads' is 5, which does not divide the width 32"),
        ("num_prompts", 11, "option 'num_prompts' is 11, but there are only 10 prompts"),
        ("nheads", "four", "option 'nheads' is 'four'; a whole number of at least 1 is needed"),
        ("max_q_l", 0, "option 'max_q_l' is 0; a whole number of at least 1 is needed"),
        ("max_v_l", True, "option 'max_v_l' is True; a whole number of at least 1 is needed"),
        ("clip_length", -1, "option 'clip_length' is -1; a number above 0 is needed"),
        ("clip_length", 0, "option 'clip_length' is 0; a number above 0 is needed"),
        ("dropout", float("nan"), "option 'dropout' is nan; a number from 0 to below 1 is needed"),
        ("dropout", 1.5, "option 'dropout' is 1.5; a number from 0 to below 1 is needed"),
    ],
)
def test_a_wrong_option_is_named(checkpoint: Checkpoint, option: str, value: Plain, text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        config_of(with_options(checkpoint, **{option: value}))
    assert f"best.ckpt: {text}" in str(caught.value)


def test_a_missing_option_is_named(checkpoint: Checkpoint) -> None:
    kept = {name: value for name, value in checkpoint.options.items() if name != "nheads"}
    with pytest.raises(CheckpointError, match=r"best\.ckpt: no option 'nheads' in 'opt'\."):
        config_of(replace(checkpoint, options=kept))


@pytest.mark.parametrize(
    ("start", "text"),
    [
        ("dummy_rep_token", "no tensor 'dummy_rep_token', so this is no CG-DETR checkpoint"),
        ("transformer.decoder.layers.", "no tensor 'transformer.decoder.layers.0.*'; the stack"),
        ("txtproj_encoder.layers.0.", "the stack 'txtproj_encoder' lacks layer '0'"),
    ],
)
def test_a_missing_tensor_is_named(checkpoint: Checkpoint, start: str, text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        config_of(without(checkpoint, start))
    assert f"best.ckpt: {text}" in str(caught.value)


def test_a_tensor_without_axes_is_named(checkpoint: Checkpoint) -> None:
    weights = {**checkpoint.weights, "query_embed.weight": torch.tensor(1.0)}
    with pytest.raises(CheckpointError, match=r"best\.ckpt: tensor 'query_embed\.weight' has shape \(\)"):
        config_of(replace(checkpoint, weights=weights))
