"""The plain CG-DETR gives what the reference gave."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from amrbench_plugins.cgdetr.reference_options import UNUSED_PREFIXES
from tests.oracle import cgdetr_cases as cases
from tests.oracle.cgdetr import CGDETR, Outputs, real_keys
from tests.oracle.cgdetr_cases import expected
from tests.oracle.cgdetr_loss import Criterion, criterion, match, weight_of
from tests.oracle.golden_cases import LOSS, OUTPUT


def run(case: str) -> Outputs:
    with torch.no_grad():
        return cases.model()(cases.inputs(case))


def losses(case: str, model: CGDETR) -> Criterion:
    return criterion(model, model(cases.inputs(case)), cases.targets(case))


def values_of(parts: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in parts.items()}


@pytest.mark.parametrize("case", cases.CASES)
def test_predictions_equal_the_reference(case: str) -> None:
    outputs = run(case)
    assert_close(outputs.logits[-1], cases.golden(case, "pred_logits"), **OUTPUT)
    assert_close(outputs.spans[-1], cases.golden(case, "pred_spans"), **OUTPUT)
    assert_close(outputs.logits[0], cases.golden(case, "aux0_pred_logits"), **OUTPUT)
    assert_close(outputs.spans[0], cases.golden(case, "aux0_pred_spans"), **OUTPUT)
    assert_close(outputs.saliency, cases.golden(case, "saliency_scores"), **OUTPUT)
    assert_close(outputs.attention, cases.golden(case, "cate_attn_weights"), **OUTPUT)
    assert_close(outputs.text_share, cases.golden(case, "t2vattnvalues"), **OUTPUT)
    assert_close(outputs.dummies, cases.golden(case, "dummy_tokens"), **OUTPUT)


@pytest.mark.parametrize("case", cases.CASES)
def test_mismatched_pairs_equal_the_reference(case: str) -> None:
    outputs = run(case)
    if not outputs.has_negative.any():
        assert f"{case}/out/saliency_scores_neg" not in cases.arrays()
        return
    assert outputs.has_negative.equal(cases.golden(case, "real_neg_mask"))
    assert_close(outputs.negative_saliency, cases.golden(case, "saliency_scores_neg"), **OUTPUT)
    assert_close(outputs.negative_text_share, cases.golden(case, "t2vattnvalues_neg"), **OUTPUT)


@pytest.mark.parametrize("case", cases.WITH_TARGETS)
def test_alignment_equals_the_reference(case: str) -> None:
    model = cases.model()
    with torch.no_grad():
        alignment = model.alignment(model(cases.inputs(case)), cases.targets(case).labels)
    assert_close(alignment.moment, cases.golden(case, "memory_moment"), **OUTPUT)
    assert_close(alignment.rest, cases.golden(case, "nmmemory_moment"), **OUTPUT)
    assert_close(alignment.sentence, cases.golden(case, "sentence_txt"), **OUTPUT)
    assert_close(alignment.dummy_sentence, cases.golden(case, "sentence_dummy"), **OUTPUT)
    assert_close(alignment.frames, cases.golden(case, "src_vid"), **OUTPUT)
    assert_close(alignment.similarity, cases.golden(case, "moment2txt_similarity"), **OUTPUT)


@pytest.mark.parametrize("case", cases.WITH_TARGETS)
def test_matches_equal_the_reference(case: str) -> None:
    outputs, spans = run(case), cases.targets(case).spans
    for layer, key in ((-1, expected(case)["matcher_last"]), (0, expected(case)["matcher_aux"][0])):
        matches = match(outputs.logits[layer], outputs.spans[layer], spans)
        assert [[m.queries.tolist(), m.targets.tolist()] for m in matches] == key


@pytest.mark.parametrize("case", cases.WITH_TARGETS)
def test_losses_equal_the_reference(case: str) -> None:
    result = losses(case, cases.model())
    assert values_of(result.terms) == pytest.approx(expected(case)["losses"], **LOSS)
    assert result.total.item() == pytest.approx(expected(case)["loss_total"], **LOSS)
    assert {name: weight_of(name) for name in result.terms} == expected(case)["weights_used"]


@pytest.mark.parametrize("case", cases.WITH_TARGETS)
def test_parts_of_the_losses_equal_the_reference(case: str) -> None:
    result = losses(case, cases.model())
    saliency = dict.fromkeys(result.saliency, 0.0) | expected(case)["saliency_terms"]
    assert values_of(result.saliency) == pytest.approx(saliency, **LOSS)
    assert values_of(result.ms_align) == pytest.approx(expected(case)["ms_align_terms"], **LOSS)
    assert values_of(result.orthogonal) == pytest.approx(expected(case)["orthogonal_terms"], **LOSS)


@pytest.mark.parametrize("case", cases.WITH_GRADIENTS)
def test_gradients_equal_the_reference(case: str) -> None:
    model = cases.model()
    losses(case, model).total.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    cases.assert_gradients(case, gradients)


@pytest.mark.parametrize("case", cases.WITH_GRADIENTS)
def test_gradient_norm_of_every_term_equals_the_reference(case: str) -> None:
    model = cases.model()
    terms = losses(case, model).terms
    for name, norm in expected(case)["grad_global_norm_by_term"].items():
        gradients = torch.autograd.grad(
            terms[name], list(model.parameters()), retain_graph=True, allow_unused=True
        )
        total = torch.stack([g.norm() for g in gradients if g is not None]).norm()
        assert total.item() == pytest.approx(norm, rel=1e-4, abs=1e-6), name


def test_three_steps_equal_the_reference() -> None:
    model, key = cases.model(), cases.numbers()["steps"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)
    for step in key["steps"]:
        loss = losses("main", model).total
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        assert loss.item() == pytest.approx(step["loss"], rel=1e-5)
        assert norm.item() == pytest.approx(step["grad_norm_before_clip"], rel=1e-4)
    cases.assert_sums_after_steps(dict(model.named_parameters()))


def test_without_the_tiling_a_batch_changes_nothing() -> None:
    model = cases.model()
    model.pair_mask = real_keys
    with torch.no_grad():
        together = model(cases.inputs("inference"))
        for row in range(3):
            alone = model(cases.inputs(f"inference_single_{row}"))
            frames = alone.saliency.shape[1]
            assert_close(together.spans[:, row : row + 1], alone.spans, **OUTPUT)
            assert_close(together.saliency[row : row + 1, :frames], alone.saliency, **OUTPUT)


def test_the_tiling_shows_in_the_longest_sample() -> None:
    alone, together = run("inference_single_0"), run("inference")
    assert float((alone.spans[-1] - together.spans[-1, :1]).abs().max()) == pytest.approx(7.036e-4, rel=1e-2)


def test_names_and_shapes_at_the_full_size_equal_the_reference() -> None:
    known = cases.parameters()
    with torch.device("meta"):
        model = CGDETR(cases.FULL_CONFIG)
    ours = {name: list(p.shape) for name, p in model.named_parameters()}
    used = {name: shape for name, shape in known["parameters"] if not name.startswith(UNUSED_PREFIXES)}
    assert ours == used
    total = sum(p.numel() for p in model.parameters())
    assert total == known["total"] - known["never_used_count"] == 12_012_075
