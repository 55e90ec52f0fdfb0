"""Tensors of the reference in our modules: their names, number and initial weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from amrbench.config.load import load_recipe
from amrbench.discovery import load_registry
from amrbench.errors import CheckpointError
from amrbench.types import BuildContext, Checkpoint, FeatureWidths
from amrbench_plugins.cgdetr.reference_weights import reference_names
from amrbench_plugins.qddetr.reference_weights import build_reference, load_reference, model_options
from tests.oracle import qddetr_cases as cases
from tests.oracle.golden_cases import OUTPUT, used
from tests.oracle.qddetr import QDDETR
from tests.plugins.qddetr import golden

AT_FULL_SIZE = BuildContext(FeatureWidths(768, 768), input_dropout=0.5)
FULL = cases.FULL_CONFIG


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("changed", "total"),
    [
        ({}, 7_123_237),
        ({"queries": 30}, 7_123_277),
        ({"cross_layers": 3, "encoder_layers": 3, "decoder_layers": 3}, 10_019_368),
    ],
)
def test_parameters_at_the_full_size(changed: dict[str, int], total: int) -> None:
    assert count(build_reference(replace(FULL, **changed))) == total - 8_704  # which the reference never uses


def test_no_loss_has_parameters() -> None:
    assert count(golden.ours().losses) == 0


def test_every_used_tensor_of_the_reference_is_one_of_ours() -> None:
    model = build_reference(FULL)
    translated = [source for name, _ in model.named_parameters() for source in reference_names(name)]
    assert sorted(translated) == sorted(used(dict(cases.parameters()["parameters"])))
    assert model.state_dict().keys() == dict(model.named_parameters()).keys()


def test_the_recipe_is_the_model_of_the_reference_at_the_full_size() -> None:
    recipe = load_recipe("qd-detr", load_registry())
    assert recipe.model == golden.option("model", "moment-detr", **model_options(FULL))
    assert count(recipe.model.build(AT_FULL_SIZE)) == 7_114_533
    assert recipe.limits.frames == FULL.max_clips
    assert recipe.limits.words == FULL.max_words
    assert {stage.input_dropout for stage in recipe.stages} == {FULL.input_dropout}
    weights = {loss.use: loss.weight for loss in recipe.training.losses if loss.use != "span-giou"}
    assert weights == {"span-l1": 10, "foreground": 4, "negative-pairs": 1}
    assert [loss.use for loss in recipe.training.losses] == list(golden.LOSSES)


def test_the_recipe_trains_as_the_reference_does() -> None:
    recipe = load_recipe("qd-detr", load_registry())
    training, targets = recipe.training, recipe.training.targets
    assert (training.batch, training.clip) == (32, 0.1)
    assert (targets.saliency, targets.label_unit) == ("first-window", "hop")
    assert (targets.max_windows, targets.pairs) == (5, 2)
    assert (training.matcher.span, training.matcher.giou, training.matcher.score) == (10, 1, 4)
    optimizer = training.optimizer
    assert (optimizer.use, optimizer.lr, optimizer.weight_decay) == ("adamw", 1e-4, 1e-4)
    assert [(stage.data, stage.epochs) for stage in recipe.stages] == [("pretrain", 200), ("target", 200)]


def test_initial_weights_have_the_deviation_of_the_reference() -> None:
    known = cases.parameters()["init_statistics"]
    with torch.no_grad():
        for name, parameter in build_reference(FULL).named_parameters():
            sources = reference_names(name)
            for source, block in zip(sources, parameter.chunk(len(sources)), strict=True):
                if block.numel() >= 256:
                    # A quarter: the deviation of 256 normal numbers varies by 4 %.
                    expected = pytest.approx(known[source]["std"], rel=0.25, abs=1e-6)
                    assert float(block.std()) == expected, source


def test_the_projections_of_the_cross_attention_are_drawn_as_one() -> None:
    layer: Any = build_reference(FULL)
    drawn = layer.fusion.layers[0].qkv.weight.detach()
    known = cases.parameters()["init_statistics"]["transformer.t2v_encoder.layers.0.self_attn.in_proj_weight"]
    assert float(drawn.max()) == pytest.approx(known["max"], rel=1e-3)


def test_another_size_is_read_from_the_checkpoint() -> None:
    config = replace(
        cases.CONFIG, width=24, heads=3, feedforward=40, audio_width=11, text_width=13, queries=7,
        cross_layers=3, encoder_layers=3, decoder_layers=1,
    )  # fmt: skip
    options = {
        **cases.numbers()["config"],
        "hidden_dim": 24,
        "nheads": 3,
        "dim_feedforward": 40,
        "a_feat_dim": 11,
        "t_feat_dim": 13,
        "num_queries": 7,
        "enc_layers": 3,
        "dec_layers": 1,
    }
    torch.manual_seed(3)
    plain = QDDETR(config).eval()
    ours = load_reference(Checkpoint(Path("other.ckpt"), plain.state_dict(), options))
    inputs = cases.inputs("inference")
    given = replace(inputs, audio=inputs.audio[..., :11], text=inputs.text[..., :13])
    with torch.no_grad():
        result, expected = golden.run(ours, given), plain(given)
    torch.testing.assert_close(result.tensors["spans"], expected.spans, **OUTPUT)
    torch.testing.assert_close(result.tensors["saliency"], expected.saliency, **OUTPUT)


def test_an_unknown_tensor_is_named() -> None:
    given = cases.checkpoint()
    weights = {**given.weights, "contrastive_proj.weight": torch.zeros(2)}
    with pytest.raises(CheckpointError) as error:
        load_reference(replace(given, weights=weights))
    assert str(error.value) == (
        "golden: the tensors 'contrastive_proj.weight' are unknown; is this a QD-DETR of the reference?"
    )
