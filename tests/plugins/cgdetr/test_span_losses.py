"""All losses of CG-DETR together equal their plain twin on made-up batches of all kinds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from amrbench.types import Batch, Outcome, Target
from tests.oracle import cgdetr_cases as cases
from tests.oracle.cgdetr import CGDETR
from tests.oracle.cgdetr_loss import criterion
from tests.plugins.cgdetr import golden
from tests.plugins.cgdetr.golden import Ours
from tests.plugins.cgdetr.made_up import KINDS, made_up, outcome


def terms_of(model: Ours, result: Outcome) -> dict[str, Tensor]:
    losses = (*model.others, model.reference.loss)
    return {name: term for loss in losses for name, term in loss(result).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_terms_and_gradients_equal_the_plain_twin(kind: str) -> None:
    ours, plain = golden.ours(tiled=False), CGDETR(cases.CONFIG).eval()
    plain.load_state_dict(cases.weights())
    inputs, targets = made_up(kind)
    known = criterion(plain, plain(inputs), targets)
    terms = terms_of(ours, outcome(ours, inputs, targets))
    for name, theirs, weight in (
        ("span-l1", "span", 10),
        ("span-giou", "giou", 1),
        ("foreground", "label", 4),
    ):
        both = torch.stack([known.terms[f"loss_{theirs}_0"], known.terms[f"loss_{theirs}"]])
        assert_close(terms[name], weight * both, rtol=1e-4, atol=1e-5)
    saliency = terms["saliency"] + terms["saliency.attention"]
    assert_close(saliency, known.terms["loss_saliency"], rtol=1e-4, atol=1e-5)
    assert_close(terms["alignment"], known.terms["loss_ms_align"], rtol=1e-4, atol=1e-5)
    assert_close(terms["distillation"], known.terms["loss_distill"], rtol=1e-4, atol=1e-5)
    assert_close(terms["orthogonality"], known.terms["loss_orthogonal_dummy"], rtol=1e-4, atol=1e-5)
    golden.total(terms).backward()
    known.total.backward()
    gradients = ours.gradients()
    for name, parameter in plain.named_parameters():
        if parameter.grad is not None:
            assert_close(gradients[name].view_as(parameter), parameter.grad, rtol=1e-3, atol=2e-4, msg=name)


def padded(batch: Batch, target: Target) -> tuple[Batch, Target]:
    """Return the same batch with more padded frames, words and windows."""

    def longer(x: Tensor, count: int) -> Tensor:
        return torch.cat([x, torch.zeros(x.shape[0], count, *x.shape[2:], dtype=x.dtype)], 1)

    audio, audio_mask = longer(batch.audio, 5), longer(batch.audio_mask, 5)
    text, text_mask = longer(batch.text, 3), longer(batch.text_mask, 3)
    wide = Batch(audio, audio_mask, text, text_mask, batch.recording)
    spans, mask = longer(target.spans, 2), longer(target.spans_mask, 2)
    return wide, replace(target, spans=spans, spans_mask=mask, relevant=longer(target.relevant, 5))


@pytest.mark.parametrize("kind", ["plain", "many windows", "pairs"])
def test_padding_past_the_longest_changes_no_term(kind: str) -> None:
    model = golden.ours(tiled=False)
    inputs, targets = made_up(kind)
    batch, target = golden.batch_of(inputs), golden.target_of(targets)
    both = []
    for padded_batch, padded_target in ((batch, target), padded(batch, target)):
        encoded = model.model.encode(padded_batch, (golden.VIEW,))
        result = golden.Result(padded_batch, encoded, model.model.decode(encoded))
        both.append(terms_of(model, golden.outcome_of(result, padded_target)))
    for name, term in both[0].items():
        assert_close(both[1][name], term, rtol=1e-5, atol=1e-6)
