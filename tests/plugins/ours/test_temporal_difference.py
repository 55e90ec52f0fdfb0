"""Fusion of frames with their differences from the neighbouring frames."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from amrbench.errors import RecipeError
from amrbench_plugins.ours.temporal_difference import differences
from tests.plugins.ours import small

NEAR = {"atol": 1e-5, "rtol": 0.0}


def fusion(width=8, moved=True, use="temporal-difference", **options):
    module = small.built("refine", use, width, **options)
    return small.stirred(module, 0.2) if moved else module


def frames(module, memory):
    return module(memory).frames


def test_at_first_nothing_changes():
    memory = small.memory(6, 4)
    assert frames(fusion(moved=False), memory).equal(memory.frames)


def test_all_but_the_frames_stay():
    memory = small.memory(6, 4)
    fused = fusion()(memory)
    assert fused.token is memory.token
    assert fused.mask is memory.mask
    assert fused.positions is memory.positions


def source(module, index, row):
    norm = module.attention.norms[index]
    return F.layer_norm(row, (8,), norm.weight, norm.bias)


def fused_slowly(module, x, frame):
    """One frame of (T, D), one source and head at a time."""
    attention, last = module.attention, len(x) - 1
    coded = [source(module, 0, x[frame]) + attention.codes[0]]
    if frame > 0:
        coded.append(source(module, 1, x[frame] - x[frame - 1]) + attention.codes[1])
    if frame < last:
        coded.append(source(module, 2, x[frame] - x[frame + 1]) + attention.codes[2])
    query, per_head = attention.query(source(module, 0, x[frame])), []
    for head in range(4):
        part = slice(2 * head, 2 * head + 2)
        logits = [query[part] @ attention.key(row)[part] / math.sqrt(2) for row in coded]
        weights = torch.stack(logits).softmax(0)
        per_head.append(sum(w * attention.value(row)[part] for w, row in zip(weights, coded, strict=True)))
    gated = module.gated(torch.cat([x[frame], attention.out(torch.cat(per_head))]))
    return x[frame] + gated[:8] * gated[8:].sigmoid()


@pytest.mark.parametrize("lengths", [(5, 3), (2, 1)])
def test_fusion_equals_one_frame_at_a_time(lengths):
    module, memory = fusion(), small.memory(*lengths)
    fused = frames(module, memory)
    for row, length in enumerate(lengths):
        for frame in range(length):
            expected = fused_slowly(module, memory.frames[row, :length], frame)
            assert_close(fused[row, frame], expected, **NEAR)


def fused_over_time(module, x, positions):
    """All frames of (T, D), one query and key at a time."""
    attention, keys = module.attention, []
    for frame, position in enumerate(positions):
        rows = [x[frame]]
        rows += [x[frame] - x[frame - 1]] if frame > 0 else [None]
        rows += [x[frame] - x[frame + 1]] if frame < len(x) - 1 else [None]
        for index, row in enumerate(rows):
            if row is not None:
                coded = source(module, index, row) + attention.codes[index]
                keys.append((attention.key(coded + position), attention.value(coded)))
    fused = []
    for frame, position in zip(x, positions, strict=True):
        query, per_head = attention.query(source(module, 0, frame) + position), []
        for head in range(4):
            part = slice(2 * head, 2 * head + 2)
            weights = torch.stack([query[part] @ key[part] / math.sqrt(2) for key, _ in keys]).softmax(0)
            per_head.append(sum(w * value[part] for w, (_, value) in zip(weights, keys, strict=True)))
        gated = module.gated(torch.cat([frame, attention.out(torch.cat(per_head))]))
        fused.append(frame + gated[:8] * gated[8:].sigmoid())
    return torch.stack(fused)


@pytest.mark.parametrize("lengths", [(5, 3), (2, 1)])
def test_over_time_each_frame_attends_to_all_sources_of_all_frames(lengths):
    module, memory = fusion(use="difference-over-time"), small.memory(*lengths)
    dirty = memory.with_frames(memory.frames.masked_fill(~memory.mask[..., None], torch.nan))
    fused = frames(module, dirty)
    for row, length in enumerate(lengths):
        expected = fused_over_time(module, memory.frames[row, :length], memory.positions[row, :length])
        assert_close(fused[row, :length], expected, **NEAR)
        assert not fused[row, length:].any()


def test_over_time_nothing_changes_at_first_and_every_weight_learns():
    memory = small.memory(6, 4)
    assert frames(fusion(use="difference-over-time", moved=False), memory).equal(memory.frames)
    module = fusion(use="difference-over-time")
    frames(module, memory).pow(3).sum().backward()
    # A bias of the keys moves all logits of a query alike.
    assert small.without_gradient(module) in ([], ["attention.key.bias"])


def fused_without_attention(module, x, frame):
    """One frame of (T, D); the unit reads it and its two normalised differences."""
    norms, last = module.attention.norms, len(x) - 1
    before = after = torch.zeros(8)
    if frame > 0:
        before = F.layer_norm(x[frame] - x[frame - 1], (8,), norms[0].weight, norms[0].bias)
    if frame < last:
        after = F.layer_norm(x[frame] - x[frame + 1], (8,), norms[1].weight, norms[1].bias)
    gated = module.gated(torch.cat([x[frame], before, after]))
    return x[frame] + gated[:8] * gated[8:].sigmoid()


@pytest.mark.parametrize("lengths", [(5, 3), (2, 1)])
def test_without_attention_the_unit_reads_both_differences(lengths):
    module, memory = fusion(use="gated-difference"), small.memory(*lengths)
    dirty = memory.with_frames(memory.frames.masked_fill(~memory.mask[..., None], torch.nan))
    fused = frames(module, dirty)
    for row, length in enumerate(lengths):
        for frame in range(length):
            expected = fused_without_attention(module, memory.frames[row, :length], frame)
            assert_close(fused[row, frame], expected, **NEAR)
        assert not fused[row, length:].any()


def test_without_attention_nothing_changes_at_first_and_every_weight_learns():
    memory = small.memory(6, 4)
    assert frames(fusion(use="gated-difference", moved=False), memory).equal(memory.frames)
    module = fusion(use="gated-difference")
    frames(module, memory).pow(3).sum().backward()
    assert small.without_gradient(module) == []


def test_two_frames_by_hand():
    x = torch.tensor([[[1.0, 5.0], [4.0, 3.0]]])
    before, after = differences(x, torch.tensor([[True, True]]))
    assert before.tolist() == [[[0, 0], [3, -2]]]
    assert after.tolist() == [[[-3, 2], [0, 0]]]


def test_no_difference_reaches_across_the_end():
    x = torch.tensor([[[7.0], [9.0], [0.0]]])
    before, after = differences(x, torch.tensor([[True, True, False]]))
    assert before.flatten().tolist() == [0, 2, 0]
    assert after.flatten().tolist() == [-2, 0, 0]


def test_time_backwards_swaps_the_two_differences():
    module, other, memory = fusion(), fusion(), small.memory(6)
    swapped = other.attention
    swapped.norms[1], swapped.norms[2] = swapped.norms[2], swapped.norms[1]
    with torch.no_grad():
        swapped.codes.copy_(module.attention.codes[[0, 2, 1]])
    backwards = replace(memory, frames=memory.frames.flip(1))
    assert_close(frames(other, backwards), frames(module, memory).flip(1), **NEAR)


def test_a_constant_recording_stays_constant_inside():
    memory = small.memory(7)
    still = memory.with_frames(memory.frames[:, :1].expand(-1, 7, -1))
    fused = frames(fusion(), still)
    assert bool(fused.isfinite().all())
    assert_close(fused[:, 2:6], fused[:, 1:2].expand(-1, 4, -1), **NEAR)
    assert small.gap(fused[:, 0], fused[:, 1]) > 1e-3


def test_padding_may_hold_anything():
    module, memory = fusion(), small.memory(6, 4)
    memory = memory.with_frames(memory.frames.requires_grad_())
    dirty = memory.with_frames(memory.frames.masked_fill(~memory.mask[..., None], torch.nan))
    plain, fused = frames(module, memory), frames(module, dirty)
    assert fused.equal(plain)
    assert not fused[1, 4:].any()
    fused.pow(2).sum().backward()
    assert all(bool(weight.grad.isfinite().all()) for weight in module.parameters())


def test_other_samples_change_nothing():
    module, memory = fusion(), small.memory(6, 4)
    alone = replace(small.memory(4), frames=memory.frames[1:, :4])
    assert_close(frames(module, alone)[0], frames(module, memory)[1, :4], **NEAR)


def test_gradients_are_right():
    module = fusion(4, attention_heads=2).double()
    memory = small.memory(4, 3, width=4)

    def fused(x):
        return frames(module, memory.with_frames(x))

    x = memory.frames.double().requires_grad_()
    assert torch.autograd.gradcheck(fused, (x,))


def test_every_weight_learns():
    module = fusion()
    frames(module, small.memory(6, 4)).pow(3).sum().backward()
    # The bias of the keys adds the same number to all logits of a frame.
    assert all(weight.grad is not None for weight in module.parameters())
    assert set(small.without_gradient(module)) <= {"attention.key.bias"}


def test_at_first_only_the_added_half_of_the_gated_unit_learns():
    module, memory = fusion(moved=False), small.memory(6, 4)
    frames(module, memory).pow(3).sum().backward()
    gradient = module.gated.weight.grad
    assert bool(gradient[:8].any())
    assert not gradient[8:].any()


def test_half_precision_is_finite_and_near():
    module, memory = fusion(), small.memory(6, 4)
    plain = frames(module, memory)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fused = frames(module, memory)
    assert_close(fused.float(), plain, rtol=0, atol=0.1)
    half = memory.with_frames(memory.frames.bfloat16())
    assert frames(module.bfloat16(), half).dtype == torch.bfloat16


def test_close_neighbours_keep_their_difference_in_half_precision():
    x = torch.tensor([[[1.0], [1.0078125]]], dtype=torch.bfloat16)
    before, _ = differences(x, torch.tensor([[True, True]]))
    assert float(before[0, 1, 0]) == 0.0078125


def test_dropout_drops_only_what_is_added():
    module, memory = fusion(), small.memory(40)
    added = frames(module, memory) - memory.frames
    module.p = 0.5
    dropped = frames(module.train(), memory) - memory.frames
    fraction = (dropped.abs() < 1e-7).float().mean()
    assert 0.3 < float(fraction) < 0.7
    kept = dropped.abs() >= 1e-7
    assert_close(dropped[kept], 2 * added[kept], **NEAR)


@pytest.mark.parametrize("use", ["temporal-difference", "difference-over-time"])
def test_the_codes_of_sources_start_small_and_different(use):
    codes = fusion(64, moved=False, use=use).attention.codes.detach()
    assert float(codes.std()) == pytest.approx(0.02, rel=0.2)
    assert float(torch.pdist(codes).min()) > 0.1


@pytest.mark.parametrize("use", ["temporal-difference", "difference-over-time", "gated-difference"])
def test_dropout_is_that_of_the_model(use):
    assert small.part("refine", use).build(replace(small.context(), dropout=0.3)).p == 0.3


def test_both_slots_have_weights_of_their_own():
    model = small.model(
        audio_refine=["temporal-difference"], memory_refine=["temporal-difference", "add-global"]
    )
    early, late = (next(slot.children()) for slot in (model.audio_refine, model.memory_refine))
    assert not early.gated.weight.equal(late.gated.weight)


@pytest.mark.parametrize("use", ["temporal-difference", "difference-over-time"])
def test_heads_must_divide_the_width(use):
    part = small.part("refine", use, attention_heads=3)
    with pytest.raises(RecipeError) as error:
        part.build(small.context().at("audio_refine"))
    assert str(error.value) == (
        "model.audio_refine: attention_heads is 3, which does not divide width 8; "
        "give a divisor of the width."
    )
