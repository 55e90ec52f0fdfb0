"""The dual encoder learns a toy world, and builds what its options say."""

from dataclasses import replace

import torch
from torch.nn import functional

from amrbench.config.recipe import Budget
from amrbench.types import Batch, BuildContext, FeatureWidths, Outcome, Outputs, Target
from amrbench_plugins.frame_models.parts import DualEncoder, FrameBce
from amrbench_plugins.readouts.parts import WindowSearch

CLASSES = torch.nn.functional.normalize(
    torch.randn(6, 16, generator=torch.Generator().manual_seed(7)), dim=-1
)


def toy(size, seed, frames=30):
    """Each recording has one class for some frames; the sentence names it in a rotated space."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(6, (size,), generator=generator)
    lengths = torch.randint(4, 9, (size,), generator=generator)
    starts = torch.randint(0, frames - 8, (size,), generator=generator)
    times = torch.arange(frames)[None]
    relevant = (times >= starts[:, None]) & (times < (starts + lengths)[:, None])
    others = CLASSES[(classes[:, None] + 1 + torch.randint(5, (size, frames), generator=generator)) % 6]
    audio = torch.where(relevant[..., None], CLASSES[classes][:, None], others)
    audio = audio + 0.1 * torch.randn(audio.shape, generator=generator)
    words = CLASSES[classes].roll(3, -1)[:, None].expand(size, 3, 16)
    spans = torch.stack([(starts + lengths / 2) / frames, lengths / frames], -1)[:, None]
    batch = Batch(
        audio,
        torch.ones(size, frames, dtype=torch.bool),
        words,
        torch.ones(size, 3, dtype=torch.bool),
        torch.arange(size),
    )
    none = torch.zeros(size, 0, dtype=torch.long)
    return batch, Target(spans, torch.ones(size, 1, dtype=torch.bool), relevant, none, none)


def overlaps(model, batch, target):
    """Return the IoU (B,) of the window with the highest contrast in the saliency, and the true one."""
    encoded = model.encode(batch)
    assert model.decode(encoded) == {}
    part = WindowSearch(lengths=8)
    readout = part.build(part.fit(tuple(target.spans[:, 0, 1].tolist())))
    centre, width = readout(Outputs(encoded.tensors, batch.audio_mask)).spans[:, 0].unbind(-1)
    true_centre, true_width = target.spans[:, 0].unbind(-1)
    start = torch.maximum(centre - width / 2, true_centre - true_width / 2)
    end = torch.minimum(centre + width / 2, true_centre + true_width / 2)
    shared = (end - start).clamp(min=0)
    return shared / (width + true_width - shared)


def test_it_learns_a_toy_world_in_seconds():
    batch, target = toy(128, seed=0)
    context = BuildContext(FeatureWidths(16, 16))
    model, loss = DualEncoder(width=16, hidden=32).build(context), FrameBce().build(context)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        encoded = model.encode(batch)
        terms = loss(Outcome(batch, target, encoded.tensors, {}, torch.empty(0, 128, 1, dtype=torch.long)))
        optimizer.zero_grad()
        terms["frame-bce"].backward()
        optimizer.step()
    unseen, truth = toy(64, seed=1)
    model.eval()
    hits = overlaps(model, unseen, truth) >= 0.7
    shuffled = replace(unseen, text=unseen.text.roll(1, 0))
    shuffled_hits = overlaps(model, shuffled, truth) >= 0.7
    assert hits.float().mean() > 0.8
    assert shuffled_hits.float().mean() < 0.4


def test_the_saliency_is_a_scaled_cosine():
    torch.manual_seed(0)
    model = DualEncoder(width=8, hidden=8).build(BuildContext(FeatureWidths(16, 16))).eval()
    batch, _ = toy(2, seed=0)
    rows, words = model.audio(batch.audio), model.text(batch.text).mean(1)
    expected = functional.cosine_similarity(rows, words[:, None], dim=-1) * 10 - 3
    torch.testing.assert_close(model.encode(batch).tensors["saliency"], expected)


def test_weights_depend_on_the_seed_and_not_on_the_global_state():
    def weights(seed):
        torch.rand(3)
        return (
            DualEncoder(width=4, hidden=4)
            .build(BuildContext(FeatureWidths(4, 4), seed=seed))
            .state_dict()["audio.2.weight"]
        )

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_the_budget_limits_its_width():
    field = DualEncoder.model_fields["width"].json_schema_extra
    assert field == {"budget": "width"}
    assert "width" in Budget.model_fields
