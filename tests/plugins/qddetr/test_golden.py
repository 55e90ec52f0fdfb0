"""QD-DETR in parts gives the numbers of the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from amrbench.types import Outputs
from amrbench_plugins.cgdetr.matcher import UNMATCHED
from amrbench_plugins.moment_detr import layers
from amrbench_plugins.readouts.decoder import read_decoder
from tests.oracle import qddetr_cases as cases
from tests.oracle.golden_cases import LOSS, OUTPUT
from tests.oracle.qddetr_cases import between, expected
from tests.plugins.cgdetr.golden import Result, outcome_of, target_of, total
from tests.plugins.qddetr import golden


def run(case: str) -> Result:
    with torch.no_grad():
        return golden.run(golden.ours().model, cases.inputs(case))


@pytest.mark.parametrize("case", cases.CASES)
def test_predictions_equal_the_reference(case: str) -> None:
    result = run(case)
    tensors = result.tensors
    assert_close(tensors["logits"][-1], cases.golden(case, "pred_logits"), **OUTPUT)
    assert_close(tensors["spans"][-1], cases.golden(case, "pred_spans"), **OUTPUT)
    assert_close(tensors["logits"][0], cases.golden(case, "aux0_pred_logits"), **OUTPUT)
    assert_close(tensors["spans"][0], cases.golden(case, "aux0_pred_spans"), **OUTPUT)
    assert_close(tensors["saliency"], cases.golden(case, "saliency_scores"), **OUTPUT)
    assert_close(result.view["saliency"], cases.golden(case, "saliency_scores_neg"), **OUTPUT)


@pytest.mark.parametrize("case", cases.WITHOUT_TARGETS)
def test_decoded_windows_equal_the_reference(case: str) -> None:
    with torch.no_grad():
        result = golden.run(golden.ours().model, cases.inputs(case), views=())
    moments = read_decoder(Outputs(dict(result.tensors), result.batch.audio_mask))
    for row, (seconds, known) in enumerate(
        zip(expected(case)["durations"], expected(case)["decoded"], strict=True)
    ):
        centre, width = (seconds * moments.spans[row]).unbind(-1)
        windows = torch.stack([centre - width / 2, centre + width / 2, moments.scores[row]], -1)
        ranked = windows[windows[:, 2].argsort(descending=True)]
        assert_close(ranked, torch.tensor(known), rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", cases.WITHOUT_TARGETS)
def test_predictions_need_no_view(case: str) -> None:
    with torch.no_grad():
        result = golden.run(golden.ours().model, cases.inputs(case), views=())
    assert_close(result.tensors["spans"][-1], cases.golden(case, "pred_spans"), **OUTPUT)
    scores = cases.golden(case, "pred_logits").softmax(-1)[..., 0]
    assert_close(result.tensors["scores"][-1], scores, **OUTPUT)


def test_tensors_inside_equal_the_reference() -> None:
    model, seen = golden.ours().model, []
    for module in (*model.fusion.layers, *model.encoder.layers, *model.decoder.layers, model.decoder):
        module.register_forward_hook(lambda *call: seen.append(call[-1]))
    with torch.no_grad():
        result = golden.run(model, cases.inputs("main"))
    rows = result.batch.audio_mask.shape[1]
    *stacks, decoder_first, decoder_last, decoded = seen
    for index, part in enumerate(("t2v_layer0", "t2v_layer1", "enc_layer0", "enc_layer1")):
        for pairs, found in zip(("mid", "mid_neg"), stacks[index].chunk(2), strict=True):
            known = between(f"{pairs}/{part}_out")
            known = known[:, 1 : 1 + rows] if part.startswith("t2v") else known
            assert_close(found, known, **OUTPUT)
    assert_close(decoder_first, between("mid/dec_layer0_out"), **OUTPUT)
    assert_close(decoder_last, between("mid/dec_layer1_out"), **OUTPUT)
    assert_close(decoded.hidden, between("mid/decoder_hs"), **OUTPUT)
    assert_close(decoded.anchors, between("mid/decoder_references"), **OUTPUT)
    assert_close(result.tensors["text"], between("mid/input_txt_proj").transpose(0, 1), **OUTPUT)
    assert_close(result.tensors["audio"], between("mid/input_vid_proj").transpose(0, 1), **OUTPUT)


def test_outputs_at_the_full_width_equal_the_reference() -> None:
    model = golden.ours(cases.full_width_checkpoint()).model
    with torch.no_grad():
        result = golden.run(model, cases.full_width_inputs())
    known = {name: torch.tensor(value) for name, value in cases.full_width()["out"].items()}
    assert_close(result.tensors["logits"][-1], known["pred_logits"], **OUTPUT)
    assert_close(result.tensors["logits"][0], known["aux0_pred_logits"], **OUTPUT)
    assert_close(result.tensors["spans"][-1], known["pred_spans"], **OUTPUT)
    assert_close(result.tensors["spans"][0], known["aux0_pred_spans"], **OUTPUT)
    assert_close(result.tensors["saliency"], known["saliency_scores"], **OUTPUT)
    assert_close(result.view["saliency"], known["saliency_scores_neg"], **OUTPUT)


@pytest.mark.parametrize("case", cases.WITH_TARGETS)
def test_matches_equal_the_reference(case: str) -> None:
    matched = outcome_of(run(case), target_of(cases.targets(case))).matched
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
    assert terms["saliency"].item() == pytest.approx(key["loss_saliency"], **LOSS)
    assert total(terms).item() == pytest.approx(expected(case)["loss_total"], **LOSS)


@pytest.mark.parametrize("case", cases.WITH_GRADIENTS)
def test_gradients_equal_the_reference(case: str) -> None:
    model = golden.ours()
    total(golden.terms(model, case)).backward()
    cases.assert_gradients(case, model.values("grad"))


NAMES = {"span": "span-l1", "giou": "span-giou", "label": "foreground", "saliency": "saliency"}
WEIGHTS = {"span": 10, "giou": 1, "label": 4, "saliency": 1}


@pytest.mark.parametrize("case", cases.WITH_GRADIENTS)
def test_gradient_norm_of_every_term_equals_the_reference(case: str) -> None:
    model = golden.ours()
    terms, known = golden.terms(model, case), expected(case)["grad_norm_per_loss_term"]
    assert len(known) == 7
    for name, norm in known.items():
        theirs, _, layer = name.removeprefix("loss_").partition("_")
        term = terms[NAMES[theirs]]
        term = term if not term.dim() else term[int(layer) if layer else -1]
        found = norm_of_gradient(term / WEIGHTS[theirs], list(model.model.parameters()))
        assert found == pytest.approx(norm, rel=1e-4, abs=1e-6), name


def norm_of_gradient(term: torch.Tensor, parameters: list[Any]) -> float:
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return torch.stack([gradient.norm() for gradient in gradients if gradient is not None]).norm().item()


def test_three_steps_equal_the_reference() -> None:
    model, key = golden.ours(), cases.numbers()["cases"]["optimizer_steps"]
    parameters = list(model.model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-4)
    for step in key["steps"]:
        loss = total(golden.terms(model, "main"))
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 0.1)
        optimizer.step()
        assert loss.item() == pytest.approx(step["loss_total"], rel=1e-5)
        assert norm.item() == pytest.approx(step["grad_norm_before_clip"], rel=1e-4)
    cases.assert_sums_after_steps(model.values())


@pytest.mark.parametrize("case", cases.WITH_GRADIENTS)
def test_long_recordings_have_the_losses_and_gradients_of_short_ones(
    monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    given, found = cases.inputs(case), []
    assert given.audio.shape[1] > given.text.shape[1]  # texts are never long
    for shortest in (given.audio.shape[1], layers.LONG):
        monkeypatch.setattr(layers, "LONG", shortest)
        model = golden.ours(tiled=False)
        terms = golden.terms(model, case)
        total(terms).backward()
        found.append((terms, model.values("grad")))
    (long, gradients), (short, plain) = found
    assert_close(long, short, rtol=1e-5, atol=1e-6)
    assert_close(gradients, plain, rtol=1e-3, atol=2e-6)


def test_without_the_tiling_a_batch_changes_nothing() -> None:
    model = golden.ours(tiled=False).model
    with torch.no_grad():
        together = golden.run(model, cases.inputs("inference"), views=()).tensors
        for row in range(3):
            alone = golden.run(model, cases.inputs(f"inference_single_{row}"), views=()).tensors
            frames = alone["saliency"].shape[1]
            assert_close(together["spans"][:, row : row + 1], alone["spans"], **OUTPUT)
            assert_close(together["saliency"][row : row + 1, :frames], alone["saliency"], **OUTPUT)
