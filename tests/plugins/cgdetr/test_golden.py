"""CG-DETR in parts gives the numbers of the reference."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from amrbench.slots.blocks import Tokens
from amrbench_plugins.cgdetr.matcher import UNMATCHED
from amrbench_plugins.moment_detr import layers
from tests.oracle import cgdetr_cases as cases
from tests.oracle.cgdetr_cases import expected
from tests.oracle.golden_cases import LOSS, OUTPUT
from tests.plugins.cgdetr import golden
from tests.plugins.cgdetr.golden import Result


def run(case: str) -> Result:
    with torch.no_grad():
        return golden.run(golden.ours().model, cases.inputs(case))


@pytest.mark.parametrize("case", cases.CASES)
def test_predictions_equal_the_reference(case: str) -> None:
    tensors = run(case).tensors
    assert_close(tensors["logits"][-1], cases.golden(case, "pred_logits"), **OUTPUT)
    assert_close(tensors["spans"][-1], cases.golden(case, "pred_spans"), **OUTPUT)
    assert_close(tensors["logits"][0], cases.golden(case, "aux0_pred_logits"), **OUTPUT)
    assert_close(tensors["spans"][0], cases.golden(case, "aux0_pred_spans"), **OUTPUT)
    assert_close(tensors["saliency"], cases.golden(case, "saliency_scores"), **OUTPUT)
    assert_close(tensors["attention"], cases.golden(case, "cate_attn_weights"), **OUTPUT)
    assert_close(tensors["attention.text"], cases.golden(case, "t2vattnvalues"), **OUTPUT)
    assert_close(tensors["dummies"], cases.golden(case, "dummy_tokens"), **OUTPUT)


@pytest.mark.parametrize("case", cases.WITHOUT_TARGETS)
def test_predictions_need_no_view(case: str) -> None:
    with torch.no_grad():
        result = golden.run(golden.ours().model, cases.inputs(case), views=())
    assert_close(result.tensors["spans"][-1], cases.golden(case, "pred_spans"), **OUTPUT)
    scores = cases.golden(case, "pred_logits").softmax(-1)[..., 0]
    assert_close(result.tensors["scores"][-1], scores, **OUTPUT)


@pytest.mark.parametrize("case", cases.CASES)
def test_mismatched_pairs_equal_the_reference(case: str) -> None:
    view = run(case).view
    rows = view["differs"]
    if f"{case}/out/saliency_scores_neg" not in cases.arrays():
        assert not rows.any()
        return
    assert rows.equal(cases.golden(case, "real_neg_mask"))
    assert_close(view["saliency"][rows], cases.golden(case, "saliency_scores_neg"), **OUTPUT)
    assert_close(view["attention.text"][rows], cases.golden(case, "t2vattnvalues_neg"), **OUTPUT)


@pytest.mark.parametrize("case", cases.WITH_TARGETS)
def test_summaries_and_moments_equal_the_reference(case: str) -> None:
    model, relevant = golden.ours(), cases.targets(case).labels > 0
    with torch.no_grad():
        result = golden.run(model.model, cases.inputs(case))
        tensors = result.tensors
        audio = Tokens(tensors["audio"], tensors["audio.positions"], result.batch.audio_mask)
        moments = model.reference.loss.encoder(audio, relevant)
    assert_close(tensors["summary.text"], cases.golden(case, "sentence_txt"), **OUTPUT)
    assert_close(tensors["summary.dummies"], cases.golden(case, "sentence_dummy"), **OUTPUT)
    assert_close(moments.inside, cases.golden(case, "memory_moment"), **OUTPUT)
    assert_close(moments.outside, cases.golden(case, "nmmemory_moment"), **OUTPUT)
    assert_close(moments.frames, cases.golden(case, "src_vid"), **OUTPUT)
    similarity = (moments.frames @ tensors["summary.keys"].mT)[relevant]
    assert_close(similarity, cases.golden(case, "moment2txt_similarity")[relevant], **OUTPUT)


@pytest.mark.parametrize("case", cases.WITH_TARGETS)
def test_matches_equal_the_reference(case: str) -> None:
    matched = golden.outcome_of(run(case), golden.target_of(cases.targets(case))).matched
    for layer, key in ((-1, expected(case)["matcher_last"]), (0, expected(case)["matcher_aux"][0])):
        for row, (queries, windows) in enumerate(key):
            ours = matched[layer, row].tolist()
            assert dict(zip(windows, queries, strict=True)) == {
                window: query for window, query in enumerate(ours) if query != UNMATCHED
            }


@pytest.mark.parametrize("case", cases.WITH_TARGETS)
def test_losses_equal_the_reference(case: str) -> None:
    terms, key = golden.terms(golden.ours(), case), expected(case)["losses"]
    for name, theirs, weight in (
        ("span-l1", "span", 10),
        ("span-giou", "giou", 1),
        ("foreground", "label", 4),
    ):
        both = [weight * key[f"loss_{theirs}_0"], weight * key[f"loss_{theirs}"]]
        assert terms[name].tolist() == pytest.approx(both, **LOSS)
    saliency = (terms["saliency"] + terms["saliency.attention"]).item()
    assert saliency == pytest.approx(key["loss_saliency"], **LOSS)
    assert terms["alignment"].item() == pytest.approx(key["loss_ms_align"], **LOSS)
    assert terms["distillation"].item() == pytest.approx(key["loss_distill"], **LOSS)
    assert terms["orthogonality"].item() == pytest.approx(key["loss_orthogonal_dummy"], **LOSS)
    assert golden.total(terms).item() == pytest.approx(expected(case)["loss_total"], **LOSS)


@pytest.mark.parametrize("case", cases.WITH_TARGETS)
def test_the_two_saliency_terms_equal_the_reference(case: str) -> None:
    terms, key = golden.terms(golden.ours(), case), expected(case)["saliency_terms"]
    for name, start in (("saliency", "sal_"), ("saliency.attention", "attn_")):
        value = sum(value for part, value in key.items() if part.startswith(start))
        # A wrong axis leaves 2e-8 in the reference if a single row has nothing to rank against.
        assert terms[name].item() == pytest.approx(value, **LOSS)


@pytest.mark.parametrize("case", cases.WITH_GRADIENTS)
def test_gradients_equal_the_reference(case: str) -> None:
    model = golden.ours()
    golden.total(golden.terms(model, case)).backward()
    gradients = model.gradients()
    cases.assert_gradients(case, gradients)


def test_three_steps_equal_the_reference() -> None:
    model, key = golden.ours(), cases.numbers()["steps"]
    parameters = list(model.modules().parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-4)
    for step in key["steps"]:
        loss = golden.total(golden.terms(model, "main"))
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 0.1)
        optimizer.step()
        assert loss.item() == pytest.approx(step["loss"], rel=1e-5)
        assert norm.item() == pytest.approx(step["grad_norm_before_clip"], rel=1e-4)
    cases.assert_sums_after_steps(model.values())


@pytest.mark.parametrize("case", cases.WITH_GRADIENTS)
def test_long_recordings_have_the_losses_and_gradients_of_short_ones(
    monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    given, found = cases.inputs(case), []
    assert given.audio.shape[1] > given.text.shape[1] + cases.CONFIG.dummies  # texts are never long
    for shortest in (given.audio.shape[1], layers.LONG):
        monkeypatch.setattr(layers, "LONG", shortest)
        model = golden.ours(tiled=False)
        terms = golden.terms(model, case)
        golden.total(terms).backward()
        found.append((terms, model.gradients()))
    (long, gradients), (short, plain) = found
    assert_close(long, short, rtol=1e-5, atol=1e-6)
    assert_close(gradients, plain, rtol=1e-3, atol=2e-6)
