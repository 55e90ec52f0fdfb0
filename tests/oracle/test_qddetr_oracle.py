"""The plain QD-DETR gives what the reference gave."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from tests.oracle import qddetr_cases as cases
from tests.oracle.cgdetr import real_keys, tiled_keys
from tests.oracle.cgdetr_loss import match, weight_of
from tests.oracle.golden_cases import LOSS, OUTPUT, used
from tests.oracle.qddetr import QDDETR, Outputs
from tests.oracle.qddetr_cases import between, expected
from tests.oracle.qddetr_loss import criterion, saliency_parts


def run(case: str) -> Outputs:
    with torch.no_grad():
        return cases.model()(cases.inputs(case))


def losses(case: str, model: QDDETR) -> dict[str, Tensor]:
    return criterion(model(cases.inputs(case)), cases.targets(case))


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack([weight_of(name) * term for name, term in terms.items()]).sum()


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
    assert_close(outputs.negative_saliency, cases.golden(case, "saliency_scores_neg"), **OUTPUT)


@pytest.mark.parametrize("pairs", ["mid", "mid_neg"])
def test_tensors_inside_equal_the_reference(pairs: str) -> None:
    outputs = run("main")
    core = outputs.true if pairs == "mid" else outputs.rolled
    for layer, fused in enumerate(core.fused):
        frames = between(f"{pairs}/t2v_layer{layer}_out")[:, 1 : 1 + fused.shape[1]]
        assert_close(fused, frames, **OUTPUT)
    assert_close(core.encoded, between(f"{pairs}/encoder_out"), **OUTPUT)
    assert_close(core.states, between(f"{pairs}/decoder_hs"), **OUTPUT)
    assert_close(core.references, between(f"{pairs}/decoder_references"), **OUTPUT)


def test_outputs_at_the_full_width_equal_the_reference() -> None:
    model = QDDETR(cases.FULL_CONFIG, pair_mask=tiled_keys).eval()
    model.load_state_dict(cases.full_width_weights())
    with torch.no_grad():
        outputs = model(cases.full_width_inputs())
    known = {name: torch.tensor(value) for name, value in cases.full_width()["out"].items()}
    assert_close(outputs.logits[-1], known["pred_logits"], **OUTPUT)
    assert_close(outputs.spans[-1], known["pred_spans"], **OUTPUT)
    assert_close(outputs.saliency, known["saliency_scores"], **OUTPUT)
    assert_close(outputs.negative_saliency, known["saliency_scores_neg"], **OUTPUT)


@pytest.mark.parametrize("case", cases.WITH_TARGETS)
def test_matches_equal_the_reference(case: str) -> None:
    outputs, spans = run(case), cases.targets(case).spans
    for layer, key in ((-1, expected(case)["matcher_last"]), (0, expected(case)["matcher_aux"][0])):
        matches = match(outputs.logits[layer], outputs.spans[layer], spans)
        assert [[m.queries.tolist(), m.targets.tolist()] for m in matches] == key


@pytest.mark.parametrize("case", cases.WITH_TARGETS)
def test_losses_equal_the_reference(case: str) -> None:
    terms, known = losses(case, cases.model()), expected(case)
    logged = {name: value for name, value in known["losses"].items() if "class_error" not in name}
    assert values_of(terms) == pytest.approx(logged, **LOSS)
    assert total(terms).item() == pytest.approx(known["loss_total"], **LOSS)
    assert {name: weight_of(name) for name in terms} == known["weights_used"]


@pytest.mark.parametrize("case", cases.WITH_TARGETS)
def test_parts_of_the_saliency_loss_equal_the_reference(case: str) -> None:
    parts = saliency_parts(run(case), cases.targets(case))
    assert values_of(parts) == pytest.approx(expected(case)["saliency_terms"], **LOSS)


@pytest.mark.parametrize("case", cases.WITH_GRADIENTS)
def test_gradients_equal_the_reference(case: str) -> None:
    model = cases.model()
    total(losses(case, model)).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    cases.assert_gradients(case, gradients)


@pytest.mark.parametrize("case", cases.WITH_GRADIENTS)
def test_gradient_norm_of_every_term_equals_the_reference(case: str) -> None:
    model = cases.model()
    terms, known = losses(case, model), expected(case)
    for name, norm in known["grad_norm_per_loss_term"].items():
        gradients = torch.autograd.grad(
            terms[name], list(model.parameters()), retain_graph=True, allow_unused=True
        )
        found = torch.stack([g.norm() for g in gradients if g is not None]).norm()
        assert found.item() == pytest.approx(norm, rel=1e-4, abs=1e-6), name


def test_three_steps_equal_the_reference() -> None:
    model, key = cases.model(), cases.numbers()["cases"]["optimizer_steps"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)
    for step in key["steps"]:
        loss = total(losses("main", model))
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        assert loss.item() == pytest.approx(step["loss_total"], rel=1e-5)
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
    known = cases.numbers()["cases"]["notes"]["batch_composition_max_abs_diff_pred_spans"]
    gap = float((alone.spans[-1] - together.spans[-1, :1]).abs().max())
    assert gap == pytest.approx(known[0], rel=1e-2)


def test_names_and_shapes_at_the_full_size_equal_the_reference() -> None:
    known = cases.parameters()
    with torch.device("meta"):
        model = QDDETR(cases.FULL_CONFIG)
    ours = {name: list(p.shape) for name, p in model.named_parameters()}
    assert ours == used(dict(known["parameters"]))
    total = sum(p.numel() for p in model.parameters())
    assert total == known["total"] - known["never_used_count"] == 7_114_533
