"""Register tokens in an encoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from amrbench.slots.blocks import Tokens, learned_tokens
from tests.plugins.moment_detr.small import batch
from tests.plugins.ours import small

AROUND = {"use": "transformer", "layers": 2}
NEAR = {"atol": 1e-5, "rtol": 0.0}


def encoder(count=3):
    return small.built("encoder", "registers", count=count, around=AROUND)


def by_hand(module, tokens, visible=True):
    """The encoder over rows with registers; invisible registers are marked as padding."""
    registers = module.registers.detach()
    learned = learned_tokens(registers, torch.zeros_like(registers), len(tokens.mask))
    pieces = [
        Tokens(tokens.features[:, :1], tokens.positions[:, :1], tokens.mask[:, :1]),
        replace(learned, mask=learned.mask & visible),
        Tokens(tokens.features[:, 1:], tokens.positions[:, 1:], tokens.mask[:, 1:]),
    ]
    rows = module.around(pieces[0].followed_by(pieces[1]).followed_by(pieces[2]))
    kept = [0, *range(1 + len(registers), rows.shape[1])]
    return rows[:, kept]


def test_registers_follow_the_first_row_and_are_dropped():
    module, tokens = encoder(), small.tokens(6, 4)
    assert_close(module(tokens), by_hand(module, tokens), **NEAR)
    assert module(tokens).shape == tokens.features.shape


def test_registers_act_through_attention_alone():
    module, tokens = encoder(), small.tokens(6, 4)
    plain = module.around(tokens)
    assert_close(by_hand(module, tokens, visible=False), plain, **NEAR)
    assert small.gap(module(tokens), plain) > 1e-2


@pytest.mark.parametrize("first", [1, 2, 6])
def test_the_first_rows_are_the_first_rows(first):
    module, tokens = encoder(), small.tokens(6, 4)
    rows = module(tokens, first=first)
    assert_close(rows, module(tokens)[:, :first], **NEAR)


def test_a_special_row_alone_is_enough():
    assert encoder()(small.tokens(1), first=1).shape == (1, 1, 8)


@pytest.mark.parametrize("count", [1, 4, 8])
def test_the_number_of_registers_changes_no_shape(count):
    assert encoder(count)(small.tokens(6, 4)).shape == (2, 6, 8)


def test_the_order_of_registers_changes_nothing():
    module, tokens = encoder(), small.tokens(6, 4)
    plain = module(tokens)
    with torch.no_grad():
        module.registers.copy_(module.registers.flip(0))
    assert_close(module(tokens), plain, **NEAR)


def test_garbage_in_padding_changes_nothing():
    module, tokens = encoder(), small.tokens(6, 4)
    dirty = tokens.with_features(tokens.features.masked_fill(~tokens.mask[..., None], 1e6))
    assert_close(module(dirty)[1, :4], module(tokens)[1, :4], **NEAR)


def test_registers_start_different_and_are_trained():
    module = encoder()
    assert float(torch.pdist(module.registers.detach()).min()) > 1e-3
    (module(small.tokens(6, 4)) ** 3).sum().backward()
    assert small.without_gradient(module) == []


def test_registers_start_as_small_numbers():
    assert float(encoder(count=50).registers.detach().std()) == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize("slot", ["encoder", "text_summary"])
def test_the_encoder_inside_starts_as_it_would_alone(slot):
    options = {"use": "registers", "around": {"use": "transformer", "layers": 2}}
    plain = small.model(**{slot: options["around"]}).state_dict()
    wrapped = small.model(**{slot: options}).state_dict()
    inside = {name.replace(".around", ""): weights for name, weights in wrapped.items()}
    added = set(inside) - set(plain)
    assert {name.rsplit(".", 1)[1] for name in added} == {"registers"}
    assert all(inside[name].equal(weights) for name, weights in plain.items())


def test_no_register_reaches_the_memory():
    model = small.model(encoder=small.EVERYTHING["encoder"], text_summary=small.EVERYTHING["text_summary"])
    encoded = model.encode(batch((9, 6), (1, 1)), {"mismatched-text"})
    assert encoded.tensors["memory"].shape == (2, 9, 16)
    assert encoded.tensors["summary.keys"].shape == (2, 3 + 1, 16)
    assert encoded.views["mismatched-text"]["memory"].shape == (2, 9, 16)


def without_attention(**changed):
    """Return a model whose frames are encoded one by one, because its attention gives nothing."""
    model = small.model(**changed)
    layers = getattr(model.encoder, "around", model.encoder).layers
    with torch.no_grad():
        for layer in layers:
            layer.attention.out.weight.zero_()
            layer.attention.out.bias.zero_()
    return model


def test_registers_take_the_row_of_no_frame():
    given = batch((9, 6), (4, 1))
    plain, with_registers = (
        without_attention(encoder=encoder).encode(given).tensors
        for encoder in (AROUND, {"use": "registers", "count": 3, "around": AROUND})
    )
    frames = plain["memory.encoded"][given.audio_mask]
    assert len(frames.detach().unique(dim=0)) == len(frames), "no two frames are alike"
    assert_close(with_registers["memory.encoded"][given.audio_mask], frames, **NEAR)
    assert_close(with_registers["memory.token"], plain["memory.token"], **NEAR)


def test_registers_around_no_encoder_summarise_nothing():
    around = {"use": "registers", "around": "none"}
    assert small.part("encoder", "registers", around=AROUND).summarises
    assert not small.part("encoder", "registers", around="none").summarises
    with pytest.raises(ValidationError, match="encoder: with 'registers' the global token reads no frame"):
        small.model(encoder=around)
    with pytest.raises(ValidationError, match="'film' needs 'summary.text', which no earlier part provides"):
        small.model(text_summary=around, query="film")
