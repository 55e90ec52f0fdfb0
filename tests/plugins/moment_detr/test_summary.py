"""One vector for a sentence, and one for its dummies."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.testing import assert_close

from amrbench.slots.blocks import Tokens
from tests.plugins.moment_detr import small

NEAR = {"atol": 1e-5, "rtol": 0.0}


def words() -> Tokens:
    rows, mask = torch.linspace(-1, 1, 3 * 4 * 16).view(3, 4, 16), small.batch().text_mask
    return Tokens(rows, torch.zeros_like(rows), mask)


def test_prediction_does_not_compute_the_summary() -> None:
    model, calls = small.model(), []
    model.text_summary.register_forward_pre_hook(lambda *_: calls.append("called"))
    model.text_summary.encoder.register_forward_pre_hook(lambda *_: calls.append("encoded"))
    encoded = model.encode(small.batch())
    model.decode(encoded)
    assert calls == []
    assert encoded.tensors["summary.text"].shape == (3, 16)
    assert calls == ["encoded"]
    assert encoded.tensors["summary.dummies"].shape == (3, 16)
    assert calls == ["encoded"]


def test_summary_keys_have_no_gradient() -> None:
    tensors = small.model().encode(small.batch()).tensors
    assert not tensors["summary.keys"].requires_grad
    assert tensors["summary.text"].requires_grad
    assert tensors["summary.keys"].shape == (3, 3 + 4, 16)


def test_the_summary_of_words_does_not_depend_on_dummies() -> None:
    model = small.model()
    keys = model.fusion.keys(words())
    noisy = keys.tokens.features.clone()
    noisy[:, : keys.dummies] += 1
    other = replace(keys, tokens=keys.tokens.with_features(noisy))
    with torch.no_grad():
        plain, changed = model.text_summary.tokens(keys), model.text_summary.tokens(other)
    assert_close(plain["summary.text"], changed["summary.text"], **NEAR)
    assert float((plain["summary.dummies"] - changed["summary.dummies"]).abs().max()) > 1e-3


def test_without_dummies_there_are_only_words() -> None:
    model = small.model()
    keys = replace(model.fusion.keys(words()), tokens=words(), dummies=0)
    with torch.no_grad():
        summary, encoded = model.text_summary.tokens(keys), model.text_summary.keys(keys)
    assert summary.keys() == {"summary.text"}
    assert summary["summary.text"].shape == (3, 16)
    assert encoded["summary.keys"].shape == (3, 4, 16)


def test_a_summary_may_be_absent() -> None:
    model = small.model(text_summary="none")
    assert not list(model.text_summary.parameters())
    tensors = model.encode(small.batch()).tensors
    assert not [name for name in tensors if name.startswith("summary.")]
    whole = small.model().encode(small.batch()).tensors
    assert tensors["memory"].equal(whole["memory"])
    assert not [name for name in small.part(text_summary="none").provides if name.startswith("summary.")]
