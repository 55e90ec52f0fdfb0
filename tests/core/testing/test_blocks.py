"""Blocks with one defect each, in a model of the shipped plugins."""

import pytest
import torch
from torch import nn

from amrbench.discovery import load_registry
from amrbench.registry import Entry, Registry
from amrbench.slots.blocks import ActivationPart, Head, HeadPart, PriorPart, RefinePart
from amrbench.testing import check_part, sample
from amrbench.testing.blocks import model_with
from amrbench_plugins.moment_detr.model import MomentDetr
from tests.core.testing.defects import (
    HEAD_DEFECTS,
    REFINE_DEFECTS,
    Averaging,
    BumpHead,
    Changed,
    failure,
)


class NaNPrior(PriorPart):
    """A prior that divides by zero."""

    use = "nan"

    def build(self, context):
        return NaNModule()


class NaNModule(nn.Module):
    def forward(self, anchors, content, mask):
        return torch.full((len(mask), 1, 1, mask.shape[1]), torch.nan)


class NarrowPrior(PriorPart):
    """A prior of the first frames."""

    use = "narrow"

    def build(self, context):
        return NarrowModule()


class NarrowModule(nn.Module):
    def forward(self, anchors, content, mask):
        return torch.zeros(len(mask), 1, 1, 3)


class ScoresOnly(HeadPart):
    """A head that provides one of the tensors of another head."""

    use = "scores-only"

    @property
    def provides(self):
        return {"scores": "N B Q"}

    def build(self, context):
        return Head()


class OneModule(ActivationPart):
    """An activation that makes one module."""

    use = "one-module"

    def build(self):
        return OneActivation()


class OneActivation:
    def __init__(self):
        self.module = nn.ReLU()

    def mlp(self):
        return self.module

    feedforward = mlp


class Alone(RefinePart):
    """A refinement of no model."""

    use = "alone"

    def build(self, context):
        return nn.Identity()


@pytest.fixture(scope="module")
def registry():
    """All parts; the blocks are tried in one model."""
    shipped = load_registry(without=["frame-models"])
    entries = [shipped.entry(slot, use) for slot in shipped.slots() for use in shipped.names(slot)]
    origin = entries[0].origin
    own = (Changed, NaNPrior, NarrowPrior, BumpHead, ScoresOnly, Averaging, OneModule)
    return Registry([*entries, *(Entry(part, origin) for part in own)])


def failed(registry, part):
    with pytest.raises(AssertionError) as error:
        check_part(part, registry)
    return str(error.value)


@pytest.mark.parametrize("part", [BumpHead(), Changed()])
def test_a_sound_block_passes(registry, part):
    check_part(part, registry)


@pytest.mark.parametrize(("defect", "text"), HEAD_DEFECTS, ids=[defect for defect, _ in HEAD_DEFECTS])
def test_a_defect_of_a_head_is_found(registry, defect, text):
    assert failed(registry, BumpHead(defect=defect)).startswith(text)


@pytest.mark.parametrize(("defect", "text"), REFINE_DEFECTS, ids=[defect for defect, _ in REFINE_DEFECTS])
def test_a_defect_of_a_refinement_is_found(registry, defect, text):
    assert failed(registry, Changed(defect=defect)).startswith(text)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (NaNPrior(), "prior 'nan': forward: 'result' (B H Q T) is not finite."),
        (
            NarrowPrior(),
            "prior 'narrow': forward returns a tensor of shape (4, 1, 1, 3), which does not broadcast to "
            "(B, H, Q, T): (4, H, 10, 14).",
        ),
        (Averaging(), "encoder 'averaging': extra padding changes 'result' (B n D): it is "),
        (
            OneModule(),
            "activation 'one-module': mlp returns one module twice. Make a new one in each call.",
        ),
    ],
)
def test_a_defect_of_another_block_is_found(registry, part, text):
    assert failed(registry, part).startswith(text)


def test_a_message_says_where_a_tensor_differs_and_what_to_do(registry):
    text = failed(registry, BumpHead(defect="mean over padding"))
    assert " instead of " in text
    assert " at B 2, T " in text
    assert text.endswith("Leave padding out of sums, means, maxima and attention: use the mask.")


def test_a_block_without_a_model_that_has_its_slot_says_what_to_pass():
    assert failure(Alone) == ("refine 'alone': no installed model has its slot; pass one with models=[...].")


def test_a_block_takes_all_fields_of_its_slot(registry):
    base = sample(MomentDetr, registry)
    encoder = registry.find("encoder", "transformer")(layers=3)
    changed = model_with(base, encoder)
    assert changed.encoder == changed.text_summary == changed.fusion.dummy_encoder == encoder
    assert changed.decoder == base.decoder


def test_a_head_replaces_those_that_provide_the_same_tensors(registry):
    heads = model_with(sample(MomentDetr, registry), ScoresOnly()).heads
    assert [head.use for head in heads] == ["spans", "saliency", "scores-only"]


def test_a_refinement_joins_both_lists(registry):
    model = model_with(sample(MomentDetr, registry), Changed())
    assert [part.use for part in model.audio_refine] == ["changed"]
    assert [part.use for part in model.memory_refine] == ["add-global", "changed"]
