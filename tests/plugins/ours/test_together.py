"""All components that change the network, together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from amrbench.testing import ContractFixture, check_model
from amrbench_plugins.moment_detr.layers import PReLU
from tests.plugins.moment_detr.small import batch, part
from tests.plugins.moment_detr.test_network import Reads
from tests.plugins.ours import small

VIEW = "mismatched-text"


@pytest.fixture(scope="module")
def full():
    return small.model(**small.EVERYTHING)


def test_the_contract_of_a_model_holds():
    check_model(part(registry=small.REGISTRY, **small.EVERYTHING), ContractFixture(small.REGISTRY))


FUSION = {"use": "adaptive-cross-attention", "dummies": 3, "prompts": 4}
VARIANTS = {
    "two coordinates": {"temporal_embedding": {"use": "fourier", "frequencies": 6, "coordinates": 2}},
    "no Fourier features": {"temporal_embedding": "coordinates"},
    "audio alone": {"fusion": FUSION | {"norm": {"use": "modality", "sides": ["audio"]}}},
    "text alone": {"fusion": FUSION | {"norm": {"use": "modality", "sides": ["text"]}}},
    "one peak": {"decoder": {"use": "dab", "prior": "gaussian"}},
    "fixed sigma": {"decoder": {"use": "dab", "prior": "fixed-bimodal-gaussian"}},
    "one sigma for all widths": {
        "decoder": {"use": "dab", "prior": {"use": "bimodal-gaussian", "relative_to": "recording"}}
    },
    "a sigma of each head": {
        "decoder": {"use": "dab", "prior": {"use": "bimodal-gaussian", "sigmas": "per-head"}}
    },
    "no attention": {
        "audio_refine": ["gated-difference"],
        "memory_refine": ["gated-difference", "add-global"],
    },
    "shared features in part": {
        "heads": [{"use": "task-aligned", "outputs": ["class", "iou"]}, "spans", "saliency"]
    },
    "ranked by both": {"heads": ["task-aligned-ranking", "saliency"]},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_contract_holds_with_variants_of_a_component(variant):
    model = part(registry=small.REGISTRY, **small.EVERYTHING | VARIANTS[variant])
    check_model(model, ContractFixture(small.REGISTRY))


def tensors_of(model, batch):
    with torch.no_grad():
        encoded = model.encode(batch, {VIEW})
        return {**encoded.tensors, **encoded.views[VIEW], **model.decode(encoded)}


def test_garbage_in_padding_changes_nothing(full):
    clean = batch()
    dirty = replace(
        clean,
        audio=clean.audio.masked_fill(~clean.audio_mask[..., None], torch.nan),
        text=clean.text.masked_fill(~clean.text_mask[..., None], torch.inf),
    )
    plain, other = tensors_of(full, clean), tensors_of(full, dirty)
    assert all(other[name].equal(value) for name, value in plain.items())


@pytest.mark.parametrize("frames", [(1, 1), (2, 1), (9, 6)])
def test_texts_of_one_token_are_enough(full, frames):
    tensors = tensors_of(full, batch(frames, (1, 1)))
    assert all(bool(value.isfinite().all()) for value in tensors.values())


@pytest.mark.parametrize("half", [False, True])
def test_a_step_of_training_reaches_every_weight(half):
    model = small.model(dropout=0.1, **small.EVERYTHING).train()
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        encoded = model.encode(batch(), {VIEW})
        decoded = model.decode(encoded)
        tensors = [*encoded.tensors.values(), *decoded.values(), *encoded.views[VIEW].values()]
    sum(tensor.float().pow(2).mean() for tensor in tensors if tensor.requires_grad).backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert all(bool(gradient.isfinite().all()) for gradient in gradients.values())


def test_half_precision_predicts_nearly_the_same(full):
    plain = tensors_of(full, batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = tensors_of(full, batch())
    assert_close(half["spans"].float(), plain["spans"], rtol=0, atol=0.1)


@pytest.mark.parametrize("training", [False, True])
def test_nothing_waits_for_the_device(training):
    model = small.model(**small.EVERYTHING).train(training)
    with Reads() as reads:
        encoded = model.encode(batch(), {VIEW})
        model.decode(encoded)
    assert reads.found == []


def test_no_activation_of_the_baseline_is_left(full):
    assert not [module for module in full.modules() if isinstance(module, nn.ReLU | PReLU)]


def test_buffers_are_the_same_in_all_runs():
    one, other = (small.small.model(seed, registry=small.REGISTRY, **small.EVERYTHING) for seed in (0, 1))
    buffers = dict(one.named_buffers())
    assert list(buffers) == ["temporal_embedding.frequencies"]
    assert all(buffers[name].equal(buffer) for name, buffer in other.named_buffers())


@pytest.mark.parametrize("slot", sorted(small.EVERYTHING))
def test_one_component_does_not_change_the_first_weights_of_the_others(slot):
    plain = small.model().state_dict()
    changed = small.model(**{slot: small.EVERYTHING[slot]}).state_dict()
    inside = f"{slot}."
    # The columns of a temporal embedding change the width of the projection.
    resized = "audio_projection" if slot == "temporal_embedding" else "-"
    # An activation has weights in many modules; those that both models have must agree.
    names = [
        name
        for name in plain
        if not name.startswith((inside, resized)) and (slot != "activation" or name in changed)
    ]
    assert len(names) > 100
    assert [name for name in names if not plain[name].equal(changed[name])] == []
