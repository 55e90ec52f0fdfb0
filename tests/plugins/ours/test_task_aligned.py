"""Prediction heads that share what they read, and ones that do not."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from amrbench.config.load import load_recipe
from amrbench.config.recipe import Budget
from amrbench.discovery import load_registry
from amrbench.functional.spans import inverse_sigmoid
from amrbench.slots.blocks import Decoded
from amrbench.testing import WIDTHS, make_batch, make_target
from amrbench.training.criterion import build_criterion
from amrbench.types import BuildContext, Prediction, TrainingLength
from amrbench_plugins.ours.task_aligned import TaskAligned
from tests.plugins.moment_detr.small import batch
from tests.plugins.ours import small

NEAR = {"atol": 1e-6, "rtol": 0.0}
SMALL = Budget(width=16, feedforward=24, layers=2, dummies=3)
APART = ["spans", "confidence", "iou", "saliency"]


@pytest.fixture
def decoded():
    generator = torch.Generator().manual_seed(0)
    anchors = 0.1 + 0.8 * torch.rand(3, 2, 4, 2, generator=generator)
    return Decoded(torch.randn(3, 2, 4, 8, generator=generator), anchors)


def head(use="task-aligned", **options):
    return small.built("head", use, **options)


def test_all_layers_get_all_predictions(decoded):
    found = head().of_queries(decoded)
    assert {name: tuple(each.shape) for name, each in found.items()} == {
        "spans": (3, 2, 4, 2),
        "logits": (3, 2, 4, 1),
        "iou_logits": (3, 2, 4, 1),
        "scores": (3, 2, 4),
    }
    assert set(found) == small.part("head", "task-aligned").provides


def test_predictions_equal_one_query_at_a_time(decoded):
    module = small.stirred(head())
    found, (first, second) = module.of_queries(decoded), module.trunk.linears
    for place in [(0, 0, 0), (2, 1, 3)]:
        shared = second(first(decoded.hidden[place]).relu()).relu()
        span = (module.span(shared) + inverse_sigmoid(decoded.anchors[place])).sigmoid()
        assert_close(found["spans"][place], span, **NEAR)
        assert_close(found["logits"][place], module.of_class(shared), **NEAR)
        assert_close(found["iou_logits"][place], module.iou(shared), **NEAR)
        assert_close(found["scores"][place], module.of_class(shared).sigmoid()[0], **NEAR)


def test_the_first_predictions_are_the_anchors(decoded):
    found = head().of_queries(decoded)
    assert_close(found["spans"], decoded.anchors, **NEAR)


@pytest.mark.parametrize("use", ["task-aligned", "confidence"])
def test_the_first_scores_are_low(decoded, use):
    quiet = Decoded(torch.zeros_like(decoded.hidden), decoded.anchors)
    module = head(use)
    for name, each in module.named_parameters():
        if name.startswith("trunk") and name.endswith("bias"):
            torch.nn.init.zeros_(each)
    assert_close(module.of_queries(quiet)["scores"], torch.full((3, 2, 4), 0.01), **NEAR)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_predicted_iou_may_have_a_share_in_what_ranks(decoded, share):
    found = small.stirred(head(iou_share=share)).of_queries(decoded)
    assert set(found) == small.part("head", "task-aligned", iou_share=share).provides
    of_class, iou = (found[name].sigmoid()[..., 0] for name in ("logits", "iou_logits"))
    assert_close(found["ranking_scores"], of_class ** (1 - share) * iou**share, **NEAR)
    assert found["scores"].equal(small.stirred(head()).of_queries(decoded)["scores"])


def trained(share: float, *, steps: int = 4) -> tuple[list[torch.Tensor], Prediction]:
    """Return all weights after some steps on one batch, and what the model then says of it."""
    recipe = SMALL.of(load_recipe("ours1", load_registry()))
    heads = (TaskAligned(iou_share=share), *recipe.model.heads[1:])
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"heads": heads})})
    criterion = build_criterion(recipe, BuildContext(WIDTHS, window_widths=(0.2, 0.3, 0.5))).train()
    # So that queries say different things and the matcher listens to what they say.
    small.stirred(criterion.model.heads)
    criterion.matcher.score = 100.0
    torch.manual_seed(0)
    updater = recipe.training.optimizer.build(criterion, TrainingLength(1, steps, recipe.training.clip))
    batch = make_batch()
    for step in range(steps):
        updater.step(lambda at=step: criterion(batch, make_target(batch), at))
    with torch.no_grad():
        prediction = criterion.eval().model.decode(criterion.model.encode(batch))
    return [each.detach() for each in criterion.parameters()], prediction


def test_what_ranks_moments_changes_no_training():
    (plain, one), (other, two) = trained(0.0), trained(0.5)
    assert all(a.equal(b) for a, b in zip(plain, other, strict=True))
    assert two.spans.equal(one.spans)
    assert two.tensors["scores"].equal(one.tensors["scores"])
    of_class, iou = (two.tensors[name][-1, ..., 0].sigmoid() for name in ("logits", "iou_logits"))
    assert_close(one.scores, of_class, **NEAR)
    assert_close(two.scores, (of_class * iou).sqrt(), **NEAR)
    assert not one.scores.argsort(1).equal(two.scores.argsort(1))


OUTPUTS = {
    "spans": ("span", {"spans"}),
    "class": ("of_class", {"logits", "scores"}),
    "iou": ("iou", {"iou_logits"}),
}


@pytest.mark.parametrize("left_out", OUTPUTS)
def test_leaving_an_output_out_leaves_the_others_as_they_are(decoded, left_out):
    outputs = [each for each in OUTPUTS if each != left_out]
    whole, module = head(), head(outputs=outputs)
    name, tensors = OUTPUTS[left_out]
    weights = {each for each in whole.state_dict() if not each.startswith(f"{name}.")}
    assert set(module.state_dict()) == weights
    assert all(each.equal(whole.state_dict()[key]) for key, each in module.state_dict().items())
    found, wanted = module.of_queries(decoded), whole.of_queries(decoded)
    assert set(found) == small.part("head", "task-aligned", outputs=outputs).provides == set(wanted) - tensors
    assert all(each.equal(wanted[key]) for key, each in found.items())


@pytest.mark.parametrize(
    "heads",
    [
        [{"use": "task-aligned", "outputs": ["spans", "class"]}],
        [{"use": "task-aligned", "outputs": ["spans", "class"]}, "iou"],
        [{"use": "task-aligned", "outputs": ["iou", "class"]}, "spans"],
        [{"use": "task-aligned", "outputs": ["spans", "iou"]}, "confidence"],
    ],
)
def test_some_outputs_may_share_and_others_not(heads):
    model = small.model(heads=[*heads, "saliency"])
    with torch.no_grad():
        prediction = model.decode(model.encode(batch()))
    assert prediction.spans.shape[:2] == prediction.scores.shape


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"outputs": ["spans", "class"], "iou_share": 0.5},
            "iou_share is 0.5, but outputs has no 'iou' to rank by; add it, or leave iou_share at 0.",
        ),
        ({"outputs": ["iou", "iou"]}, "'iou' stands twice in this list; keep one."),
        ({"outputs": ["span"]}, "Input should be 'spans', 'class' or 'iou', not 'span'."),
        ({"outputs": []}, "Tuple should have at least 1 item after validation, not 0"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(ValidationError) as error:
        small.part("head", "task-aligned", **options)
    assert said in str(error.value)


def test_a_model_still_needs_spans_and_scores():
    heads = [{"use": "task-aligned", "outputs": ["class", "iou"]}, "saliency"]
    with pytest.raises(ValidationError, match="heads: none of them provides 'spans'; add one that does"):
        small.model(heads=heads)


def gradients(heads, name):
    model = small.model(heads=heads)
    small.stirred(model.heads, 0.1)
    prediction = model.decode(model.encode(batch()))
    prediction.tensors[name].pow(2).sum().backward()
    return {key for key, each in model.heads.named_parameters() if each.grad is not None and each.grad.any()}


def test_the_iou_teaches_what_the_span_reads():
    reached = gradients(["task-aligned", "saliency"], "iou_logits")
    trunk = {f"task-aligned.trunk.linears.{index}.{kind}" for index in (0, 1) for kind in ("weight", "bias")}
    assert trunk <= reached
    assert not [name for name in reached if ".span." in name or ".of_class." in name]


def test_heads_apart_teach_themselves_alone():
    for name, owner in (("iou_logits", "iou"), ("logits", "confidence"), ("spans", "spans")):
        reached = gradients(APART, name)
        assert reached
        assert {each.split(".")[0] for each in reached} == {owner}


def test_the_span_head_apart_is_that_of_the_baseline():
    one, other = (small.model(heads=heads) for heads in (APART, ["spans", "foreground", "saliency"]))
    with torch.no_grad():
        spans = [model.decode(model.encode(batch())).spans for model in (one, other)]
    assert spans[0].equal(spans[1])


def test_every_weight_learns(decoded):
    module = small.stirred(head(iou_share=0.5), 0.2)
    found = module.of_queries(decoded)
    (found["spans"].pow(2).sum() + found["ranking_scores"].sum()).backward()
    assert small.without_gradient(module) == []


def test_anchors_at_the_border_are_finite():
    decoded = Decoded(torch.randn(1, 1, 2, 8), torch.tensor([[[[0.5, 1e-9], [1.0, 0.5]]]]))
    found = small.stirred(head()).of_queries(decoded)
    assert bool(found["spans"].isfinite().all())


def test_half_precision_is_finite(decoded):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = small.stirred(head(iou_share=0.3)).of_queries(decoded)
    assert all(bool(each.isfinite().all()) for each in found.values())
