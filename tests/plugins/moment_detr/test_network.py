"""What moment-detr does beyond the contract of every model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from amrbench.types import BuildContext
from tests.plugins.moment_detr import small

VIEW = "mismatched-text"
NEAR = {"atol": 1e-5, "rtol": 0.0}


@torch.no_grad()
def tensors(model: Any, batch: Any, views: Collection[str] = ()) -> dict[str, Tensor]:
    encoded = model.encode(batch, views)
    return {**encoded.tensors, **model.decode(encoded)}


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
    model.decode(model.encode(dirty))["spans"][-1].sum().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(gradients) > 50
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_a_view_changes_no_prediction() -> None:
    model, batch = small.model(), small.batch()
    plain, viewed = tensors(model, batch), tensors(model, batch, {VIEW})
    for name, value in plain.items():
        assert_close(viewed[name], value, **NEAR)


def test_a_view_is_computed_on_request_only() -> None:
    assert small.model().encode(small.batch()).views == {}


def test_the_view_has_the_text_of_the_next_sample() -> None:
    model, batch = small.model(), small.batch()
    rolled = replace(batch, text=batch.text.roll(-1, 0), text_mask=batch.text_mask.roll(-1, 0))
    expected, mismatched = tensors(model, rolled), view(model, batch)
    for name in ("saliency", "attention", "attention.text", "memory", "memory.token"):
        assert_close(mismatched[name], expected[name], **NEAR)


def test_the_view_says_where_the_recording_differs() -> None:
    assert view(small.model(), small.batch())["differs"].tolist() == [True, False, True]


def test_the_view_shares_the_dropout_of_the_projection() -> None:
    context = BuildContext(small.WIDTHS, input_dropout=0.5)
    model = small.part(dropout=0.0).build(context).train()
    batch = replace(small.batch((9, 9), (3, 3)), recording=torch.tensor([0, 1]))
    same = replace(batch, text=batch.text[:1].expand(2, -1, -1).contiguous())
    model.text_projection.eval()
    encoded = model.encode(same, {VIEW})
    assert_close(encoded.tensors["saliency"], encoded.views[VIEW]["saliency"], **NEAR)


def test_one_frame_and_one_word_are_enough() -> None:
    provided = tensors(small.model(), small.batch((1, 1), (1, 1)), {VIEW})
    assert all(bool(value.isfinite().all()) for value in provided.values())


def test_the_length_of_other_texts_changes_nothing() -> None:
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
    """Records operations whose result Python must wait for, or whose shape depends on data."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        if any(word in name for word in ("_local_scalar_dense", "nonzero", "masked_select")):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("training", [False, True])
def test_no_operation_waits_for_the_device(training: bool) -> None:
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
    spans = tensors(model, half, {VIEW})["spans"]
    assert spans.dtype == torch.bfloat16
    assert_close(spans.float(), tensors(small.model(), batch)["spans"], atol=0.1, rtol=0)
