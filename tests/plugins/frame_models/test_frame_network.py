"""The frame network starts as a dual encoder, sees as far as it says, and learns what needs context."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from amrbench.config.recipe import Budget
from amrbench.part import Part
from amrbench.registry import Registry
from amrbench.slots.blocks import Head, HeadPart
from amrbench.testing import CONTEXT, check_model, make_batch, pad_batch, pick_rows
from amrbench.testing.small_data import ContractFixture
from amrbench.types import Batch, BuildContext, FeatureWidths
from amrbench_plugins.frame_models.parts import FrameNetwork
from amrbench_plugins.moment_detr.parts import Saliency, Spans

SMALL = {"width": 8, "layers": 2, "dropout": 0.0}


class FrameWidths(HeadPart):
    """Two numbers for each frame, from all that a memory holds."""

    use = "frame-widths"

    @property
    def provides(self):
        return {"frame-widths": "B T 2"}

    def build(self, context):
        return TwoNumbers(context.width)


class TwoNumbers(Head, nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, 2)

    def of_memory(self, memory):
        assert memory.positions.shape == memory.frames.shape
        return {"frame-widths": self.linear(memory.frames + memory.token[:, None] + memory.positions)}


REGISTRY = Registry.of(FrameNetwork, FrameWidths, Saliency, Spans)


def build(**options):
    return FrameNetwork.model_validate(SMALL | options, context=REGISTRY).build(CONTEXT).eval()


def trained_a_little(**options):
    """Return a model whose correction is not zero any more."""
    model = build(**options)
    torch.manual_seed(0)
    nn.init.normal_(model.correction.weight)
    return model


def encoded(model, batch):
    with torch.no_grad():
        return model.encode(batch).tensors


@pytest.mark.parametrize("options", [{}, {"heads": ["frame-widths"]}, {"layers": 3, "kernel": 5}])
def test_it_keeps_the_contract_of_a_model(options):
    part = FrameNetwork.model_validate(SMALL | options, context=REGISTRY)
    check_model(part, ContractFixture(REGISTRY))


def test_padding_and_what_it_holds_change_nothing():
    model, batch = trained_a_little(heads=["frame-widths"]), make_batch()
    padded = pad_batch(batch, frames=9, words=3)
    padded.audio[~padded.audio_mask] = torch.nan
    padded.text[~padded.text_mask] = torch.nan
    plain, other = encoded(model, batch), encoded(model, padded)
    for name in ("saliency", "memory", "frame-widths"):
        assert other[name].isfinite().all()
        torch.testing.assert_close(
            other[name][padded.audio_mask], plain[name][batch.audio_mask], rtol=0, atol=1e-5
        )


def test_a_sample_alone_gives_the_same_as_in_a_batch():
    model, batch = trained_a_little(), make_batch()
    whole = encoded(model, batch)["saliency"]
    for row in range(len(whole)):
        alone = encoded(model, pick_rows(batch, [row]))["saliency"]
        torch.testing.assert_close(alone[0], whole[row], rtol=0, atol=1e-5)


def test_the_saliency_starts_as_a_scaled_cosine():
    model, batch = build(), make_batch()
    with torch.no_grad():
        rows, words = model.audio(batch.audio), model.text(batch.text)
    mask = batch.text_mask[..., None]
    sentence = (words * mask).sum(1) / mask.sum(1)
    expected = functional.cosine_similarity(rows, sentence[:, None], dim=-1) * 10 - 3
    similar = encoded(model, batch)["saliency"]
    torch.testing.assert_close(similar[batch.audio_mask], expected[batch.audio_mask])


@pytest.mark.parametrize(("kernel", "layers", "reach"), [(3, 1, 1), (3, 3, 7), (5, 2, 6)])
def test_a_frame_sees_as_far_as_the_dilations_say(kernel, layers, reach):
    model, batch = trained_a_little(kernel=kernel, layers=layers), make_batch((31,), (3,))
    before = encoded(model, batch)["saliency"][0]
    audio = batch.audio.clone()
    audio[0, 15] += torch.linspace(-2, 2, audio.shape[-1])
    after = encoded(model, Batch(audio, *(vars(batch)[name] for name in _REST)))["saliency"][0]
    changed = ((after - before).abs() > 1e-6).nonzero()[:, 0].tolist()
    assert changed == list(range(15 - reach, 16 + reach))


_REST = ("audio_mask", "text", "text_mask", "recording")


def test_every_frame_sees_the_sentence():
    model, batch = trained_a_little(layers=1), make_batch((31,), (3,))
    other = Batch(batch.audio, batch.audio_mask, batch.text.flip(-1), batch.text_mask, batch.recording)
    before, after = encoded(model, batch), encoded(model, other)
    assert ((before["memory"] - after["memory"]).abs().amax(-1) > 1e-6).all()


def test_there_is_no_decoder():
    model = build()
    assert model.decode(model.encode(make_batch())) == {}


def test_it_provides_what_it_says():
    part = FrameNetwork.model_validate(SMALL | {"heads": ["frame-widths"]}, context=REGISTRY)
    assert part.provides == {
        "saliency": "B T",
        "memory": "B T D",
        "memory.token": "B D",
        "frame-widths": "B T 2",
    }
    assert encoded(part.build(CONTEXT), make_batch()).keys() == part.provides.keys()


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (
            "spans",
            "heads: 'spans' provides 'spans' of decoder queries (N B Q 2), but this model has no decoder.",
        ),
        ("saliency", "heads: 'saliency' and the model both provide 'saliency'; keep one."),
    ],
)
def test_heads_that_cannot_work_are_refused(head, text):
    with pytest.raises(ValidationError) as caught:
        FrameNetwork.model_validate({"heads": [head]}, context=REGISTRY)
    assert text in str(caught.value)


def test_two_heads_do_not_provide_the_same_tensor():
    class SameWidths(HeadPart):
        """Provides what another head does."""

        use = "same-widths"
        provides = FrameWidths.provides
        build = FrameWidths.build

    registry = Registry.of(FrameNetwork, FrameWidths, SameWidths)
    with pytest.raises(ValidationError) as caught:
        FrameNetwork.model_validate({"heads": ["frame-widths", "same-widths"]}, context=registry)
    text = "heads: 'same-widths' and 'frame-widths' both provide 'frame-widths'; keep one."
    assert text in str(caught.value)


def test_a_head_does_not_change_the_first_weights_of_the_others():
    plain, headed = build().state_dict(), build(heads=["frame-widths"]).state_dict()
    assert all(torch.equal(plain[name], headed[name]) for name in plain)


def test_the_budget_limits_its_sizes():
    for field in ("width", "layers"):
        assert FrameNetwork.model_fields[field].json_schema_extra == {"budget": field}
        assert field in Budget.model_fields
    assert issubclass(FrameNetwork, Part)


CLASSES = functional.normalize(torch.randn(4, 16, generator=torch.Generator().manual_seed(7)), dim=-1)


def between_marks(size, seed, frames=24):
    """Only the two ends of a moment sound like its class; what lies between sounds like everything else."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(4, (size,), generator=generator)
    starts = torch.randint(0, frames - 5, (size, 1), generator=generator)
    lengths = torch.randint(4, 6, (size, 1), generator=generator)
    times = torch.arange(frames)[None]
    ends = (times == starts) | (times == starts + lengths - 1)
    relevant = (times >= starts) & (times < starts + lengths)
    noise = 0.2 * torch.randn(size, frames, 16, generator=generator)
    audio = noise + torch.where(ends[..., None], CLASSES[classes][:, None], 0)
    other = (starts + frames // 2) % frames  # a frame of another class
    audio = audio + torch.where((times == other)[..., None], CLASSES[(classes + 1) % 4][:, None], 0)
    words = CLASSES[classes].roll(3, -1)[:, None].expand(size, 2, 16)
    real = torch.ones(size, frames, dtype=torch.bool)
    return Batch(audio, real, words, real[:, :2], torch.arange(size)), relevant


def test_it_learns_what_no_frame_says_alone():
    batch, relevant = between_marks(256, seed=0)
    part = FrameNetwork(width=24, layers=3, dropout=0.0)
    model = part.build(BuildContext(FeatureWidths(16, 16)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(80):
        logits = model.encode(batch).tensors["saliency"]
        loss = functional.binary_cross_entropy_with_logits(logits, relevant.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen, truth = between_marks(128, seed=1)
    model.eval()
    inside = encoded(model, unseen)["saliency"] > 0
    overlap = (inside & truth).sum(1) / (inside | truth).sum(1)
    assert overlap.mean() > 0.8
    shuffled = Batch(
        unseen.audio, unseen.audio_mask, unseen.text.roll(1, 0), *(unseen.text_mask, unseen.recording)
    )
    wrong = encoded(model, shuffled)["saliency"] > 0
    assert ((wrong & truth).sum(1) / (wrong | truth).sum(1)).mean() < 0.6
