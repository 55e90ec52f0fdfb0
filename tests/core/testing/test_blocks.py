"""Blocks with one defect each, in a model of the shipped plugins."""

import pytest
import torch
from pydantic import Field
from torch import nn

from amrbench.discovery import load_registry
from amrbench.registry import Entry, Registry
from amrbench.slots.blocks import Head, HeadPart, PriorPart, RefinePart
from amrbench.testing import check_part, sample
from amrbench.testing.blocks import model_with
from amrbench_plugins.moment_detr.model import MomentDetr
from tests.core.testing.defects import failure


class Centred(RefinePart):
    """Subtract the mean over all frames, padded ones included."""

    use = "centred"

    def build(self, context):
        return CentredModule()


class CentredModule(nn.Module):
    def forward(self, memory):
        return memory.with_frames(memory.frames - memory.frames.mean(1, keepdim=True))


class NaNPrior(PriorPart):
    """A prior that divides by zero."""

    use = "nan"

    def build(self, context):
        return NaNModule()


class NaNModule(nn.Module):
    def forward(self, anchors, content, mask):
        return torch.full((len(mask), 1, 1, mask.shape[1]), torch.nan)


class Bumps(Head, nn.Module):
    """A number for each frame; `defect` spoils one thing."""

    def __init__(self, width, defect):
        super().__init__()
        self.defect = defect
        self.linear = nn.Linear(width, 1)
        self.unused = nn.Linear(width, 1) if defect == "unused" else None

    def of_memory(self, memory):
        bumps = self.linear(memory.frames).squeeze(-1)
        results = {
            "one more axis": bumps[..., None],
            "no batch": bumps.sum(0),
            "first frames": bumps[:, :5],
        }
        return {"bumps": results.get(self.defect, bumps)}


class BumpHead(HeadPart):
    """A head."""

    use = "bumps"
    defect: str = Field("none", description="what is wrong")

    @property
    def provides(self):
        return {"bumps": "B T"}

    def build(self, context):
        return Bumps(context.width, self.defect)


class ScoresOnly(HeadPart):
    """A head that provides one of the tensors of another head."""

    use = "scores-only"

    @property
    def provides(self):
        return {"scores": "N B Q"}

    def build(self, context):
        return Head()


@pytest.fixture(scope="module")
def registry():
    shipped = load_registry()
    entries = [shipped.entry(slot, use) for slot in shipped.slots() for use in shipped.names(slot)]
    origin = entries[0].origin
    own = (Centred, NaNPrior, BumpHead, ScoresOnly)
    return Registry([*entries, *(Entry(part, origin) for part in own)])


def test_a_sound_head_passes(registry):
    check_part(BumpHead(), registry)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (Centred(), "refine 'centred' in model 'moment-detr': extra padding changes"),
        (NaNPrior(), "prior 'nan' in model 'moment-detr': spans or scores are not finite"),
        (
            BumpHead(defect="unused"),
            "head 'bumps' in model 'moment-detr': no gradient reaches heads.bumps",
        ),
        (
            BumpHead(defect="one more axis"),
            "head 'bumps' in model 'moment-detr': 'bumps' has shape (4, 14, 1), but `provides` says 'B T'.",
        ),
        (
            BumpHead(defect="no batch"),
            # The model computes two views as one batch and splits the result: 7 of 14 frames.
            "head 'bumps' in model 'moment-detr': 'bumps' has shape (7,), but `provides` says 'B T'.",
        ),
        (
            BumpHead(defect="first frames"),
            "head 'bumps' in model 'moment-detr': 'bumps' has shape (4, 5), but `provides` says 'B T', "
            "where T is 14.",
        ),
    ],
)
def test_a_defect_of_a_block_is_found(registry, part, text):
    with pytest.raises(AssertionError) as error:
        check_part(part, registry)
    assert str(error.value).startswith(text)


def test_a_block_without_a_model_that_has_its_slot_says_what_to_pass():
    assert failure(Centred) == (
        "refine 'centred': no installed model has its slot; pass one with models=[...]."
    )


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
    model = model_with(sample(MomentDetr, registry), Centred())
    assert [part.use for part in model.audio_refine] == ["centred"]
    assert [part.use for part in model.memory_refine] == ["add-global", "centred"]
