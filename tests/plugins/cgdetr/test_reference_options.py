"""Options that all models of the reference share, and messages about broken ones, for both models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from amrbench.errors import CheckpointError
from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.types import Checkpoint, Plain
from amrbench_plugins.cgdetr import reference_checkpoint
from amrbench_plugins.cgdetr.reference_options import last_second
from amrbench_plugins.qddetr import reference_checkpoint as qddetr_checkpoint
from tests.folders import DATA


@dataclass(frozen=True)
class Held:
    """A checkpoint and how its configuration is read."""

    checkpoint: Checkpoint
    config_of: Callable[[Checkpoint], Any]

    def config(self, **changed: Plain) -> Any:
        return self.config_of(with_options(self.checkpoint, **changed))


MODELS = {
    "lighthouse_checkpoint": reference_checkpoint.config_of,
    "qddetr_checkpoint": qddetr_checkpoint.config_of,
}


@pytest.fixture(params=MODELS)
def held(request: pytest.FixtureRequest) -> Held:
    return Held(read_checkpoint(DATA / request.param / "best.ckpt"), MODELS[request.param])


def with_options(checkpoint: Checkpoint, **changed: Plain) -> Checkpoint:
    return replace(checkpoint, options={**checkpoint.options, **changed})


def test_the_lower_of_two_limits_holds(held: Held) -> None:
    assert held.config(max_v_l=75).max_clips == 75
    assert held.config(max_a_l=60).max_clips == 60


@pytest.mark.parametrize(
    ("name", "limit"), [("castella", 300.0), ("clotho-moment", 150.0), ("tut2017", 150.0)]
)
def test_the_last_second_depends_on_the_data_set(held: Held, name: str, limit: int) -> None:
    assert last_second(with_options(held.checkpoint, dset_name=name)) == limit


def test_an_unknown_data_set_is_named(held: Held) -> None:
    with pytest.raises(CheckpointError) as caught:
        last_second(with_options(held.checkpoint, dset_name="castela"))
    assert "best.ckpt: option 'dset_name' is 'castela'" in str(caught.value)
    assert "Did you mean 'castella'?" in str(caught.value)
    with pytest.raises(CheckpointError, match=r"option 'dset_name' is \['castella'\]"):
        last_second(with_options(held.checkpoint, dset_name=["castella"]))


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("ctx_mode", "video_tef", "option 'ctx_mode' is 'video_tef'; only 'audio_tef' can be read"),
        ("v_feat_dim", 512, "option 'v_feat_dim' is 512; only 2 can be read"),
        ("n_input_proj", 3, "option 'n_input_proj' is 3; only 2 can be read"),
        ("enc_layers", 3, "option 'enc_layers' is 3, but the tensors say 2"),
        ("a_feat_dim", 512, "option 'a_feat_dim' is 512, but the tensors say 768"),
        ("hidden_dim", 256, "option 'hidden_dim' is 256, but the tensors say 32"),
        ("num_queries", 10, "option 'num_queries' is 10, but the tensors say 5"),
        ("nheads", 5, "option 'nheads' is 5, which does not divide the width 32"),
        ("nheads", "four", "option 'nheads' is 'four'; a whole number of at least 1 is needed"),
        ("max_q_l", 0, "option 'max_q_l' is 0; a whole number of at least 1 is needed"),
        ("max_v_l", True, "option 'max_v_l' is True; a whole number of at least 1 is needed"),
        ("clip_length", -1, "option 'clip_length' is -1; a number above 0 is needed"),
        ("clip_length", 0, "option 'clip_length' is 0; a number above 0 is needed"),
        ("dropout", float("nan"), "option 'dropout' is nan; a number from 0 to below 1 is needed"),
        ("dropout", 1.5, "option 'dropout' is 1.5; a number from 0 to below 1 is needed"),
    ],
)
def test_a_wrong_option_is_named(held: Held, option: str, value: Plain, text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        held.config(**{option: value})
    assert f"best.ckpt: {text}" in str(caught.value)


def test_a_missing_option_is_named(held: Held) -> None:
    kept = {name: value for name, value in held.checkpoint.options.items() if name != "nheads"}
    with pytest.raises(CheckpointError, match=r"best\.ckpt: no option 'nheads' in 'opt'\."):
        held.config_of(replace(held.checkpoint, options=kept))


def test_a_missing_stack_is_named(held: Held) -> None:
    start = "transformer.decoder.layers."
    kept = {name: value for name, value in held.checkpoint.weights.items() if not name.startswith(start)}
    with pytest.raises(CheckpointError) as caught:
        held.config_of(replace(held.checkpoint, weights=kept))
    assert "best.ckpt: no tensor 'transformer.decoder.layers.0.*'; the stack" in str(caught.value)


def test_a_tensor_without_axes_is_named(held: Held) -> None:
    weights = {**held.checkpoint.weights, "query_embed.weight": torch.tensor(1.0)}
    with pytest.raises(CheckpointError, match=r"best\.ckpt: tensor 'query_embed\.weight' has shape \(\)"):
        held.config_of(replace(held.checkpoint, weights=weights))
