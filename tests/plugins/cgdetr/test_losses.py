"""Losses and matcher in parts equal their plain twins on made-up batches of all kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.testing import assert_close

from amrbench.errors import RecipeError, RunError
from amrbench.types import Batch, BuildContext, FeatureWidths, Outcome, Target
from amrbench_plugins.cgdetr.matching import assign
from amrbench_plugins.cgdetr.saliency_loss import Rows
from tests.oracle import cgdetr_cases as cases
from tests.oracle.cgdetr import CGDETR, Inputs
from tests.oracle.cgdetr_loss import Targets, criterion
from tests.plugins.cgdetr import golden
from tests.plugins.cgdetr.golden import Ours

KINDS: Mapping[str, dict[str, Any]] = {
    "plain": {"frames": (12, 9, 5, 12), "words": (6, 1, 4, 3), "windows": (1, 1, 1, 1), "audio": "abcd"},
    "many windows": {"frames": (12, 9, 7), "words": (3, 2, 5), "windows": (3, 8, 1), "audio": "abc"},
    "one recording": {"frames": (8, 8), "words": (2, 3), "windows": (2, 1), "audio": "aa"},
    "pairs": {"frames": (8, 8, 6, 6), "words": (2, 3, 1, 4), "windows": (2, 1, 1, 3), "audio": "aabb"},
    "alone": {"frames": (10,), "words": (1,), "windows": (2,), "audio": "a"},
    "short": {"frames": (2, 3), "words": (1, 1), "windows": (1, 1), "audio": "ab"},
}


def made_up(kind: str) -> tuple[Inputs, Targets]:
    torch.manual_seed(list(KINDS).index(kind))
    shape = KINDS[kind]
    frames, words = torch.tensor(shape["frames"]), torch.tensor(shape["words"])
    audio_mask = torch.arange(int(frames.max())) < frames[:, None]
    text_mask = torch.arange(int(words.max())) < words[:, None]
    place = torch.arange(audio_mask.shape[1])[None] / frames[:, None]
    temporal = torch.stack([place, place + 1 / frames[:, None]], -1) * audio_mask[..., None]
    labels = torch.zeros(audio_mask.shape)
    labels[:, 0] = 1
    labels[:, 1] = (frames > 4).float()
    inputs = Inputs(
        text=torch.randn(*text_mask.shape, 20) * text_mask[..., None],
        text_mask=text_mask,
        temporal=temporal,
        audio=torch.randn(*audio_mask.shape, 24) * audio_mask[..., None],
        audio_mask=audio_mask,
        recordings=list(shape["audio"]),
    )
    spans = [torch.rand(count, 2) * 0.5 + 0.1 for count in shape["windows"]]
    inside = torch.zeros(len(frames), 2, dtype=torch.long)
    return inputs, Targets(spans, labels, inside, torch.stack([frames - 1, frames - 1], 1))


def twins() -> tuple[Ours, CGDETR]:
    ours = golden.ours(tiled=False)
    plain = CGDETR(cases.SIZES).eval()
    plain.load_state_dict(cases.weights())
    return ours, plain


def outcome(model: Ours, inputs: Inputs, targets: Targets) -> Outcome:
    return golden.outcome_of(golden.run(model.model, inputs), golden.target_of(targets))


def terms_of(model: Ours, found: Outcome) -> dict[str, Tensor]:
    losses = (*model.others, model.reference.loss)
    return {name: term for loss in losses for name, term in loss(found).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_terms_and_gradients_equal_the_plain_twin(kind: str) -> None:
    ours, plain = twins()
    inputs, targets = made_up(kind)
    known = criterion(plain, plain(inputs), targets)
    found = terms_of(ours, outcome(ours, inputs, targets))
    for name, theirs, weight in (
        ("span-l1", "span", 10),
        ("span-giou", "giou", 1),
        ("foreground", "label", 4),
    ):
        both = torch.stack([known.terms[f"loss_{theirs}_0"], known.terms[f"loss_{theirs}"]])
        assert_close(found[name], weight * both, rtol=1e-4, atol=1e-5)
    saliency = found["saliency"] + found["saliency.attention"]
    assert_close(saliency, known.terms["loss_saliency"], rtol=1e-4, atol=1e-5)
    assert_close(found["alignment"], known.terms["loss_ms_align"], rtol=1e-4, atol=1e-5)
    assert_close(found["distillation"], known.terms["loss_distill"], rtol=1e-4, atol=1e-5)
    assert_close(found["orthogonality"], known.terms["loss_orthogonal_dummy"], rtol=1e-4, atol=1e-5)
    golden.total(found).backward()
    known.total.backward()
    gradients = ours.gradients()
    for name, parameter in plain.named_parameters():
        if parameter.grad is not None:
            assert_close(gradients[name].view_as(parameter), parameter.grad, rtol=1e-3, atol=2e-4, msg=name)


def padded(batch: Batch, target: Target) -> tuple[Batch, Target]:
    """The same batch with more padded frames, words and windows."""

    def more(x: Tensor, count: int) -> Tensor:
        return torch.cat([x, torch.zeros(x.shape[0], count, *x.shape[2:], dtype=x.dtype)], 1)

    wide = Batch(
        more(batch.audio, 5), more(batch.audio_mask, 5), more(batch.text, 3), more(batch.text_mask, 3),
        batch.recording,
    )  # fmt: skip
    spans, mask = more(target.spans, 2), more(target.spans_mask, 2)
    return wide, replace(target, spans=spans, spans_mask=mask, relevant=more(target.relevant, 5))


@pytest.mark.parametrize("kind", ["plain", "many windows", "pairs"])
def test_padding_past_the_longest_changes_no_term(kind: str) -> None:
    model = golden.ours(tiled=False)
    inputs, targets = made_up(kind)
    batch, target = golden.batch_of(inputs), golden.target_of(targets)
    found = []
    for each, truth in ((batch, target), padded(batch, target)):
        encoded = model.model.encode(each, (golden.VIEW,))
        result = golden.Result(each, encoded, model.model.decode(encoded))
        found.append(terms_of(model, golden.outcome_of(result, truth)))
    for name, term in found[0].items():
        assert_close(found[1][name], term, rtol=1e-5, atol=1e-6)


def test_a_loss_of_another_width_is_refused() -> None:
    ours = golden.ours(tiled=False)
    inputs, targets = made_up("plain")
    loss = golden.option("loss", "moment-sentence", width=64).build(BuildContext(FeatureWidths(24, 20)))
    with pytest.raises(
        RecipeError, match="loss 'moment-sentence': width is 64, but the model's is 32; give both"
    ):
        loss(outcome(ours, inputs, targets))


def test_heads_of_the_moment_encoder_divide_its_width() -> None:
    with pytest.raises(ValueError, match="attention_heads is 3, which does not divide width 256"):
        golden.option("loss", "moment-sentence", attention_heads=3)


def test_saliency_stays_finite_when_a_wrong_text_takes_all_attention() -> None:
    ours = golden.ours(tiled=False)
    found = outcome(ours, *made_up("plain"))
    view = dict(found.views[golden.VIEW])
    view["attention.text"] = torch.ones_like(view["attention.text"])
    loss = golden.option("loss", "saliency").build(BuildContext(FeatureWidths(24, 20)))
    assert loss(replace(found, views={golden.VIEW: view}))["saliency.attention"].isfinite()


@pytest.mark.parametrize(
    ("differs", "negative", "alone"),
    [
        ([True, True, True], [1 / 3] * 3, [0, 0, 0]),
        ([False, False, False], [0, 0, 0], [1 / 3] * 3),
        ([True, False, True], [0.5, 0, 0.5], [0, 0, 0]),
        ([True, False, False], [1, 0, 0], [0, 0.5, 0.5]),
        ([False], [0], [1]),
    ],
)
def test_rows_take_part_as_in_the_reference(
    differs: list[bool], negative: list[float], alone: list[float]
) -> None:
    rows = Rows.of(torch.tensor(differs), ranks_rest=True)
    assert rows.negative.tolist() == pytest.approx(negative)
    assert rows.alone.tolist() == pytest.approx(alone)


def test_the_rest_is_not_ranked_by_attention_beside_negatives() -> None:
    assert not Rows.of(torch.tensor([True, False, False]), ranks_rest=False).alone.any()
    assert Rows.of(torch.tensor([False, False]), ranks_rest=False).alone.tolist() == [0.5, 0.5]


# ---------------------------------------------------------------- matcher


def plainly(costs: np.ndarray, mask: np.ndarray) -> np.ndarray:
    matched = np.full((len(costs), *mask.shape), -1)
    for layer, row in np.ndindex(*costs.shape[:2]):
        real = np.flatnonzero(mask[row])
        for query, window in zip(*linear_sum_assignment(costs[layer, row][:, real]), strict=True):
            matched[layer, row, real[window]] = query
    return matched


@pytest.mark.parametrize("queries", [1, 2, 6])
def test_assignments_equal_the_plain_twin(queries: int) -> None:
    random = np.random.default_rng(queries)
    costs = random.normal(size=(3, 40, queries, 4)).astype(np.float32)
    mask = random.random((40, 4)) < 0.5
    mask[:5] = np.tri(5, 4, -1, dtype=bool)
    costs[:, ~mask.any(1)] = np.nan
    assert assign(costs, mask).tolist() == plainly(np.nan_to_num(costs), mask).tolist()


def test_more_windows_than_queries_leave_some_unmatched() -> None:
    matched = assign(np.random.default_rng(0).random((2, 1, 2, 5)), np.ones((1, 5), dtype=bool))
    for layer in range(2):
        assert sorted(matched[layer, 0].tolist()) == [-1, -1, -1, 0, 1]


@pytest.mark.parametrize("windows", [1, 2])
def test_predictions_that_are_not_finite_are_told(windows: int) -> None:
    mask = np.ones((1, windows), dtype=bool)
    with pytest.raises(
        RunError, match=r"not finite numbers, so training has diverged; lower the learning rate"
    ):
        assign(np.full((1, 1, 3, windows), np.nan), mask)


def test_the_matcher_reads_the_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = golden.ours(tiled=False)
    inputs, targets = made_up("many windows")
    result = golden.run(ours.model, inputs)
    transfers, plain = [], Tensor.cpu
    monkeypatch.setattr(Tensor, "cpu", lambda self: transfers.append(self.shape) or plain(self))
    golden.outcome_of(result, golden.target_of(targets))
    assert len(transfers) == 1
