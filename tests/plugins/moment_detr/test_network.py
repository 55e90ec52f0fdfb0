"""What moment-detr does as a whole, beyond the contract of every model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from amrbench.slots.blocks import Memory
from amrbench_plugins.moment_detr.tensors import LazyTensors
from tests.plugins.moment_detr import small

VIEW = "mismatched-text"
NEAR = {"atol": 1e-5, "rtol": 0.0}


@torch.no_grad()
def tensors(model: Any, batch: Any, views: Collection[str] = ()) -> dict[str, Tensor]:
    encoded = model.encode(batch, views)
    return {**encoded.tensors, **model.decode(encoded).tensors}


@torch.no_grad()
def view(model: Any, batch: Any) -> dict[str, Tensor]:
    return dict(model.encode(batch, {VIEW}).views[VIEW])


def test_garbage_in_padding_changes_nothing() -> None:
    model, batch = small.model(), small.batch()
    dirty = replace(
        batch,
        audio=batch.audio.masked_fill(~batch.audio_mask[..., None], torch.nan),
        text=batch.text.masked_fill(~batch.text_mask[..., None], torch.inf),
    )
    for name, value in tensors(model, batch).items():
        assert tensors(model, dirty)[name].equal(value), name


def test_garbage_in_padding_reaches_no_gradient() -> None:
    model, batch = small.model(), small.batch()
    dirty = replace(batch, audio=batch.audio.masked_fill(~batch.audio_mask[..., None], torch.nan))
    model.decode(model.encode(dirty)).spans.sum().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(gradients) > 50
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_a_view_changes_no_prediction() -> None:
    model, batch = small.model(), small.batch()
    plain, viewed = tensors(model, batch), tensors(model, batch, {VIEW})
    for name, value in plain.items():
        assert_close(viewed[name], value, **NEAR)


def test_nobody_pays_for_a_view_that_nobody_asks_for() -> None:
    assert small.model().encode(small.batch()).views == {}


def test_the_view_has_the_text_of_the_next_sample() -> None:
    model, batch = small.model(), small.batch()
    rolled = replace(batch, text=batch.text.roll(-1, 0), text_mask=batch.text_mask.roll(-1, 0))
    wanted, found = tensors(model, rolled), view(model, batch)
    for name in ("saliency", "attention", "attention.text", "memory", "memory.token"):
        assert_close(found[name], wanted[name], **NEAR)


def test_the_view_says_where_the_recording_differs() -> None:
    assert view(small.model(), small.batch())["differs"].tolist() == [True, False, True]


def test_the_view_shares_the_dropout_of_the_projection() -> None:
    context = replace(small.Context(small.WIDTHS), input_dropout=0.5)
    model = small.part(dropout=0.0).build(context).train()
    batch = replace(small.batch((9, 9), (3, 3)), recording=torch.tensor([0, 1]))
    same = replace(batch, text=batch.text[:1].expand(2, -1, -1).contiguous())
    model.text_projection.eval()
    encoded = model.encode(same, {VIEW})
    assert_close(encoded.tensors["saliency"], encoded.views[VIEW]["saliency"], **NEAR)


def test_prediction_leaves_the_summary_out() -> None:
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


def test_summary_keys_teach_and_do_not_learn() -> None:
    found = small.model().encode(small.batch()).tensors
    assert not found["summary.keys"].requires_grad
    assert found["summary.text"].requires_grad
    assert found["summary.keys"].shape == (3, 3 + 4, 16)


def test_the_summary_of_words_does_not_see_dummies() -> None:
    model, batch = small.model(), small.batch()
    keys = model.fusion.keys(model._words(batch))
    noisy = keys.tokens.features.clone()
    noisy[:, : keys.dummies] += 1
    other = replace(keys, tokens=keys.tokens.with_features(noisy))
    with torch.no_grad():
        plain, changed = model.text_summary.tokens(keys), model.text_summary.tokens(other)
    assert_close(plain["summary.text"], changed["summary.text"], **NEAR)
    assert float((plain["summary.dummies"] - changed["summary.dummies"]).abs().max()) > 1e-3


def test_one_frame_and_one_word_are_enough() -> None:
    found = tensors(small.model(), small.batch((1, 1), (1, 1)), {VIEW})
    assert all(bool(value.isfinite().all()) for value in found.values())


def test_longer_texts_than_dummies_and_shorter_ones_give_the_same() -> None:
    model = small.model()
    long = tensors(model, small.batch((9, 6), (7, 2)))
    batch = small.batch((9, 6), (7, 2))
    alone = replace(
        batch, audio=batch.audio[1:], audio_mask=batch.audio_mask[1:], text=batch.text[1:, :2],
        text_mask=batch.text_mask[1:, :2], recording=batch.recording[1:],
    )  # fmt: skip
    short = tensors(model, alone)
    for name in ("summary.text", "summary.dummies", "dummies", "saliency"):
        assert_close(short[name], long[name][1:], **NEAR)


class Reads(TorchDispatchMode):
    """Notes operations whose result Python must wait for, or whose shape depends on data."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        if any(word in name for word in ("_local_scalar_dense", "nonzero", "masked_select")):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("training", [False, True])
def test_nothing_waits_for_the_device(training: bool) -> None:
    model, batch = small.model().train(training), small.batch()
    with Reads() as reads:
        encoded = model.encode(batch, {VIEW})
        model.decode(encoded)
        dict(encoded.tensors)
    assert reads.found == []


def test_training_draws_anew_and_evaluation_does_not() -> None:
    model, batch = small.model(dropout=0.3), small.batch()
    assert tensors(model, batch)["spans"].equal(tensors(model, batch)["spans"])
    model.train()
    assert not tensors(model, batch)["spans"].equal(tensors(model, batch)["spans"])


def test_bfloat16_weights_predict_finite_moments() -> None:
    model, batch = small.model().bfloat16(), small.batch()
    half = replace(batch, audio=batch.audio.bfloat16(), text=batch.text.bfloat16())
    found = tensors(model, half, {VIEW})
    assert found["spans"].dtype == torch.bfloat16
    assert_close(found["spans"].float(), tensors(small.model(), batch)["spans"], atol=0.1, rtol=0)


# ---------------------------------------------------------------- pieces


def test_add_global_adds_the_token_to_frames_alone() -> None:
    refine = small.REGISTRY.find("refine", "add-global")().build(None)  # type: ignore[call-arg]
    mask = torch.ones(2, 3, dtype=torch.bool)
    memory = Memory(torch.randn(2, 4), torch.randn(2, 3, 4), torch.randn(2, 3, 4), mask)
    refined = refine(memory)
    assert refined.frames.equal(memory.frames + memory.token[:, None])
    assert refined.token is memory.token


def test_lazy_tensors_are_made_once_and_together() -> None:
    calls = []

    def make() -> dict[str, Tensor]:
        calls.append("made")
        return {"b": torch.ones(1), "c": torch.ones(2)}

    lazy = LazyTensors({"a": torch.zeros(1)}, {"b": make, "c": make})
    assert (sorted(lazy), len(lazy), calls) == (["a", "b", "c"], 3, [])
    assert "c" in lazy
    assert [len(lazy[name]) for name in ("b", "c", "a")] == [1, 2, 1]
    assert calls == ["made"]
    with pytest.raises(KeyError):
        lazy["d"]


def test_dummies_keep_their_mass_and_bring_nothing() -> None:
    model, batch = small.model(), small.batch()
    found = tensors(model, batch)
    assert_close(found["attention"].sum(-1), torch.ones(3, 9))
    words = found["attention"][..., 3:]
    assert_close(found["attention.text"], words.sum(-1))
    assert float(words[~batch.text_mask[:, None].expand_as(words)].abs().max()) == 0
    layer = model.fusion.layers[0]
    keys = model.fusion.keys(model._words(batch))
    silent = keys.tokens.features.clone()
    silent[:, keys.dummies :] = 0
    bias = torch.zeros(1, 1, 1, silent.shape[1])
    audio = model._placed(model._refined(batch))
    mute = layer(audio, replace(keys, tokens=keys.tokens.with_features(silent)), bias)
    assert_close(mute.features, layer.without_keys(audio.features), **NEAR)
