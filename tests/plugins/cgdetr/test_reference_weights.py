"""Tensors of the reference in our modules: their names, number and initial weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from amrbench.errors import CheckpointError
from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.types import BuildContext, Checkpoint, FeatureWidths
from amrbench_plugins.cgdetr.reference_options import UNUSED_PREFIXES
from amrbench_plugins.cgdetr.reference_weights import (
    build_reference,
    load_reference,
    loss_options,
    model_options,
    reference_names,
)
from tests.folders import DATA
from tests.oracle import cgdetr_cases as cases
from tests.plugins.cgdetr import golden

AT_FULL_SIZE = BuildContext(FeatureWidths(768, 768), input_dropout=0.5)


def count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_parameters_at_the_full_size() -> None:
    reference = build_reference(cases.FULL_CONFIG)
    assert count(reference.model, reference.loss) == 12_012_075


def test_the_other_losses_have_no_parameters() -> None:
    assert count(golden.ours().others) == 0


@pytest.mark.parametrize(("name", "value", "total"), [("queries", 30, 12_219_219), ("layers", 2, 10_112_809)])
def test_parameters_of_other_sizes(name: str, value: int, total: int) -> None:
    changed = {"queries": value} if name == "queries" else {"encoder_layers": value, "decoder_layers": value}
    reference = build_reference(replace(cases.FULL_CONFIG, **changed))
    assert count(reference.model, reference.loss) == total - 207_104


def test_every_used_tensor_of_the_reference_is_one_of_ours() -> None:
    reference = build_reference(cases.FULL_CONFIG)
    translated = [source for name in reference.named_parameters() for source in reference_names(name)]
    names = [name for name, _ in cases.parameters()["parameters"]]
    assert sorted(translated) == sorted(name for name in names if not name.startswith(UNUSED_PREFIXES))


def test_a_tensor_that_the_reference_lacks_has_no_name() -> None:
    with pytest.raises(KeyError, match="heads.iou.linear"):
        reference_names("heads.iou.linear.weight")


def test_the_options_are_the_defaults_of_the_parts_at_the_full_size() -> None:
    model, loss = model_options(cases.FULL_CONFIG), loss_options(cases.FULL_CONFIG)
    model["fusion"] = {"use": "adaptive-cross-attention"}
    text = {"use": "transformer", "layers": 1}
    plain = {**model, "text_summary": text, "query": "zeros", "decoder": "dab", "encoder": "transformer"}
    built = golden.option("model", "moment-detr", **plain).build(AT_FULL_SIZE)
    assert count(built, golden.option("loss", "moment-sentence").build(AT_FULL_SIZE)) == 12_012_075
    assert golden.option("loss", "moment-sentence", **loss) == golden.option("loss", "moment-sentence")


def test_initial_weights_have_the_deviation_of_the_reference() -> None:
    known = cases.parameters()["init_statistics"]
    reference = build_reference(cases.FULL_CONFIG)
    with torch.no_grad():
        for name, parameter in reference.named_parameters().items():
            sources = reference_names(name)
            for source, block in zip(sources, parameter.chunk(len(sources)), strict=True):
                if block.numel() >= 256 and source in known:
                    # A quarter: the deviation of 256 normal numbers varies by 4 %.
                    expected = pytest.approx(known[source][1], rel=0.25, abs=1e-6)
                    assert float(block.std()) == expected, source


# ---------------------------------------------------------------- messages


@pytest.fixture
def checkpoint() -> Checkpoint:
    return read_checkpoint(DATA / "lighthouse_checkpoint" / "best.ckpt")


def changed(checkpoint: Checkpoint, **weights: Any) -> Checkpoint:
    merged = {**checkpoint.weights, **weights}
    return replace(checkpoint, weights={name: value for name, value in merged.items() if value is not None})


def test_a_missing_tensor_is_named(checkpoint: Checkpoint) -> None:
    broken = changed(checkpoint, **{"transformer.decoder.layers.1.ca_v_proj.bias": None})
    with pytest.raises(
        CheckpointError, match=r"best\.ckpt: tensor 'transformer.decoder.layers.1.ca_v_proj.bias' is missing"
    ):
        load_reference(broken)


def test_an_unknown_tensor_is_named(checkpoint: Checkpoint) -> None:
    with pytest.raises(
        CheckpointError, match=r"best\.ckpt: the tensors 'contrastive_proj.weight' are unknown; is this"
    ):
        load_reference(changed(checkpoint, **{"contrastive_proj.weight": torch.zeros(2)}))


@pytest.mark.parametrize(
    ("name", "tensor", "text"),
    [
        ("class_embed.weight", torch.zeros(3, 32), r"has shape \[3, 32\], which does not fit \[2, 32\]"),
        ("transformer.encoder.layers.0.activation.weight", torch.tensor(1.0), r"has shape \[\], which does"),
        ("transformer.decoder.layers.0.ca_v_proj.bias", torch.tensor(1.0), r"has shape \[\], which does"),
    ],
)
def test_a_tensor_of_another_shape_is_named(
    checkpoint: Checkpoint, name: str, tensor: torch.Tensor, text: str
) -> None:
    with pytest.raises(CheckpointError, match=rf"best\.ckpt: tensor '{name}' {text}"):
        load_reference(changed(checkpoint, **{name: tensor}))
