"""The contracts of inner slots find what they are for."""

import pytest
import torch
from torch import nn

from amrbench.discovery import load_registry
from amrbench.registry import Entry, Registry
from amrbench.slots.blocks import Head, HeadPart, PriorPart, RefinePart
from amrbench.testing import check_part, sample
from amrbench_plugins.moment_detr.model import MomentDetr
from amrbench_plugins.moment_detr.testing import CONTRACTS, model_with


class Centred(RefinePart):
    """Take the mean over all frames away, padded ones too."""

    use = "centred"

    def build(self, sizes):
        return CentredModule()


class CentredModule(nn.Module):
    def forward(self, memory):
        return memory.with_frames(memory.frames - memory.frames.mean(1, keepdim=True))


class Forgotten(HeadPart):
    """A head with a layer that it does not use."""

    use = "forgotten"

    @property
    def provides(self):
        return frozenset({"forgotten"})

    def build(self, sizes):
        return ForgottenModule(sizes.width)


class ForgottenModule(Head, nn.Module):
    def __init__(self, width):
        super().__init__()
        self.used, self.unused = nn.Linear(width, 1), nn.Linear(width, 1)

    def of_memory(self, memory):
        return {"forgotten": self.used(memory.frames)}


class Stingy(HeadPart):
    """A head that takes the place of another one and does not give what it gave."""

    use = "stingy"

    @property
    def provides(self):
        return frozenset({"scores"})

    def build(self, sizes):
        return Head()


class Sharp(PriorPart):
    """A prior that divides by zero."""

    use = "sharp"

    def build(self, sizes):
        return SharpModule()


class SharpModule(nn.Module):
    def forward(self, anchors, content, mask):
        return torch.full((len(mask), 1, 1, mask.shape[1]), torch.nan)


@pytest.fixture(scope="module")
def registry():
    shipped = load_registry()
    entries = [shipped.entry(slot, use) for slot in shipped.slots() for use in shipped.names(slot)]
    origin = entries[0].origin
    return Registry([*entries, *(Entry(part, origin) for part in (Centred, Forgotten, Stingy, Sharp))])


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Centred(), "refine 'centred', in its place in a model 'moment-detr': extra padding changes"),
        (
            Forgotten(),
            "head 'forgotten', in its place in a model 'moment-detr': no gradient reaches heads.forgotten",
        ),
        (Sharp(), "prior 'sharp', in its place in a model 'moment-detr': spans or scores are not finite"),
    ],
)
def test_a_defect_of_an_inner_part_is_found(registry, part, said):
    with pytest.raises(AssertionError) as error:
        check_part(part, registry, contracts=CONTRACTS)
    assert str(error.value).startswith(said)


def test_a_part_stands_in_every_place_of_its_slot(registry):
    base = sample(MomentDetr, registry)
    encoder = registry.find("encoder", "transformer")(layers=3)
    changed = model_with(base, encoder)
    assert changed.encoder == changed.text_summary == changed.fusion.dummy_encoder == encoder
    assert changed.decoder == base.decoder


def test_heads_that_give_the_same_make_room(registry):
    heads = model_with(sample(MomentDetr, registry), Stingy()).heads
    assert [head.use for head in heads] == ["spans", "saliency", "stingy"]


def test_a_refinement_joins_both_lists(registry):
    model = model_with(sample(MomentDetr, registry), Centred())
    assert [part.use for part in model.audio_refine] == ["centred"]
    assert [part.use for part in model.memory_refine] == ["add-global", "centred"]
