"""Prediction heads with shared features, and separate ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from amrbench.config.load import load_recipe
from amrbench.config.recipe import Budget
from amrbench.discovery import load_registry
from amrbench.functional.spans import inverse_sigmoid
from amrbench.slots.blocks import Decoded, HeadPart
from amrbench.testing import WIDTHS, make_batch, make_target
from amrbench.training.criterion import build_criterion
from amrbench.types import BuildContext, Outputs, TrainingLength
from amrbench_plugins.ours.head_parts import TaskAligned, TaskAlignedRanking
from amrbench_plugins.readouts.decoder import read_decoder
from tests.plugins.moment_detr.small import batch
from tests.plugins.ours import small

NEAR = {"atol": 1e-6, "rtol": 0.0}
SMALL = Budget(width=16, feedforward=24, layers=2, dummies=3)
SEPARATE = ["spans", "confidence", "iou", "saliency"]


@pytest.fixture
def decoded():
    generator = torch.Generator().manual_seed(0)
    anchors = 0.1 + 0.8 * torch.rand(3, 2, 4, 2, generator=generator)
    return Decoded(torch.randn(3, 2, 4, 8, generator=generator), anchors)


def head(use="task-aligned", **options):
    return small.built("head", use, **options)


def test_all_layers_get_all_predictions(decoded):
    tensors = head().of_queries(decoded)
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        "spans": (3, 2, 4, 2),
        "logits": (3, 2, 4, 1),
        "iou_logits": (3, 2, 4, 1),
        "scores": (3, 2, 4),
    }
    assert set(tensors) == set(small.part("head", "task-aligned").provides)


def test_predictions_equal_one_query_at_a_time(decoded):
    module = small.stirred(head())
    tensors, (first, second) = module.of_queries(decoded), module.trunk.linears
    for index in [(0, 0, 0), (2, 1, 3)]:
        once = first(decoded.hidden[index]).relu()
        shared = torch.cat([decoded.hidden[index], once, second(once).relu()])
        span = (module.span(shared) + inverse_sigmoid(decoded.anchors[index])).sigmoid()
        assert_close(tensors["spans"][index], span, **NEAR)
        assert_close(tensors["logits"][index], module.of_class(shared), **NEAR)
        assert_close(tensors["iou_logits"][index], module.iou(shared), **NEAR)
        assert_close(tensors["scores"][index], module.of_class(shared).sigmoid()[0], **NEAR)


@pytest.mark.parametrize("use", ["task-aligned", "task-aligned-ranking"])
def test_the_first_predictions_are_the_anchors_unless_the_map_is_drawn(decoded, use):
    zero, drawn = (head(use, first_corrections=first) for first in ("zero", "drawn"))
    assert_close(zero.of_queries(decoded)["spans"], decoded.anchors, **NEAR)
    assert small.gap(drawn.of_queries(decoded)["spans"], decoded.anchors) > 0.01
    weights = zero.state_dict()
    changed = [name for name, weight in drawn.state_dict().items() if not weight.equal(weights[name])]
    assert [name.split(".")[-2] for name in changed] == ["span", "span"]


@pytest.mark.parametrize("use", ["task-aligned", "task-aligned-ranking"])
@pytest.mark.parametrize(("eps", "width"), [(1e-3, 1e-3), (1e-5, 2e-4)])
def test_anchors_are_kept_down_to_the_limit_of_the_model(use, eps, width):
    narrow = Decoded(torch.zeros(1, 1, 1, 8), torch.tensor([[[[0.5, 2e-4]]]]))
    module = small.part("head", use).build(replace(small.context(), eps=eps))
    assert module.of_queries(narrow)["spans"][0, 0, 0].tolist() == pytest.approx([0.5, width], rel=2e-3)


FORMS = [{"use": "task-aligned", "own_layers": 1}, {"use": "confidence"}, {"use": "confidence", "layers": 3}]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("logits", [1, 2])
@pytest.mark.parametrize("first", [0.01, 0.1, 0.5])
def test_the_first_scores_are_near_the_given_one(decoded, form, logits, first):
    zeros = Decoded(torch.zeros_like(decoded.hidden), decoded.anchors)
    module = head(**form, logits=logits, first_probability=first)
    for name, weight in module.named_parameters():
        if "linears" in name and name.endswith("bias"):
            torch.nn.init.zeros_(weight)
    tensors = module.of_queries(zeros)
    assert tensors["logits"].shape == (3, 2, 4, logits)
    assert_close(tensors["scores"], torch.full((3, 2, 4), first), **NEAR)


def test_the_parts_start_at_a_low_score():
    for use in ("task-aligned", "task-aligned-ranking", "confidence"):
        part = small.part("head", use)
        assert (part.logits, part.first_probability) == (1, 0.01)


@pytest.mark.parametrize(
    "options",
    [
        {"trunk_layers": 0},
        {"trunk_layers": 3},
        {"trunk": "plain"},
        {"trunk": "residual"},
        {"trunk_layers": 1, "own_layers": 1},
        {"trunk": "plain", "own_layers": 2},
        {"trunk": "residual", "trunk_layers": 1, "own_layers": 1, "logits": 2},
    ],
)
def test_every_form_equals_its_layers_one_query_at_a_time(decoded, options):
    module = small.stirred(head(**options))
    tensors = module.of_queries(decoded)
    for index in [(0, 0, 0), (2, 1, 3)]:
        layers = [decoded.hidden[index]]
        for linear in module.trunk.linears:
            change = (linear.weight @ layers[-1] + linear.bias).relu()
            layers.append(layers[-1] + change if options.get("trunk") == "residual" else change)
        shared = torch.cat(layers) if options.get("trunk", "dense") == "dense" else layers[-1]
        features = {}
        for output, hidden in module.own.items():
            features[output] = shared
            for linear in hidden.linears:
                features[output] = (linear.weight @ features[output] + linear.bias).relu()
        logits = module.of_class(features["of_class"])
        score = logits.softmax(0)[0] if len(logits) == 2 else logits.sigmoid()[0]
        span = module.span(features["of_spans"]) + inverse_sigmoid(decoded.anchors[index])
        assert_close(tensors["logits"][index], logits, **NEAR)
        assert_close(tensors["scores"][index], score, **NEAR)
        assert_close(tensors["iou_logits"][index], module.iou(features["of_iou"]), **NEAR)
        assert_close(tensors["spans"][index], span.sigmoid(), **NEAR)
    assert len(module.trunk.linears) == options.get("trunk_layers", 2)
    assert [len(hidden.linears) for hidden in module.own.values()] == [options.get("own_layers", 0)] * 3


@pytest.mark.parametrize("logits", [1, 2])
def test_the_class_may_be_as_deep_apart_as_it_is_shared(decoded, logits):
    module = small.stirred(head("confidence", layers=3, logits=logits))
    tensors, (first, second) = module.of_queries(decoded), module.hidden.linears
    assert set(tensors) == set(small.part("head", "confidence", logits=logits).provides)
    expected = module.class_map(second(first(decoded.hidden).relu()).relu())
    assert_close(tensors["logits"], expected, **NEAR)
    score = expected.softmax(-1)[..., 0] if logits == 2 else expected.sigmoid()[..., 0]
    assert_close(tensors["scores"], score, **NEAR)


@pytest.mark.parametrize("logits", [1, 2])
@pytest.mark.parametrize("iou_share", [0.2, 0.5, 0.9])
def test_the_predicted_iou_may_take_part_in_the_ranking(decoded, iou_share, logits):
    options = {"logits": logits, "own_layers": 1}
    tensors = small.stirred(head("task-aligned-ranking", iou_share=iou_share, **options)).of_queries(decoded)
    assert set(tensors) == set(small.part("head", "task-aligned-ranking").provides)
    of_class, iou = tensors["scores"], tensors["iou_logits"].sigmoid()[..., 0]
    assert_close(tensors["ranking_scores"], of_class ** (1 - iou_share) * iou**iou_share, **NEAR)
    assert tensors["scores"].equal(small.stirred(head(**options)).of_queries(decoded)["scores"])


def trained(head: HeadPart, *, steps: int = 4) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Return all weights after some steps on one batch, and what the model decodes for it."""
    recipe = SMALL.of(load_recipe("ours1", load_registry()))
    heads = (head, *recipe.model.heads[1:])
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"heads": heads})})
    criterion = build_criterion(recipe, BuildContext(WIDTHS, window_widths=(0.2, 0.3, 0.5))).train()
    with torch.no_grad():
        for parameter in criterion.model.heads[head.use].parameters():
            parameter.zero_()  # both forms start alike
    # So that the scores of queries differ and decide the matching.
    small.stirred(criterion.model.heads)
    criterion.matcher.score = 100.0
    torch.manual_seed(0)
    updater = recipe.training.optimizer.build(criterion, TrainingLength(1, steps, recipe.training.clip))
    batch = make_batch()
    for step in range(steps):
        updater.step(lambda step=step: criterion(batch, make_target(batch), step))
    with torch.no_grad():
        decoded = criterion.eval().model.decode(criterion.model.encode(batch))
    return [weight.detach() for weight in criterion.parameters()], decoded


def test_the_ranking_of_moments_changes_no_training():
    (plain, one), (other, two) = trained(TaskAligned()), trained(TaskAlignedRanking(iou_share=0.5))
    assert all(a.equal(b) for a, b in zip(plain, other, strict=True))
    assert two["spans"].equal(one["spans"])
    assert two["scores"].equal(one["scores"])
    by_class, by_both = (read_decoder(Outputs(decoded, make_batch().audio_mask)) for decoded in (one, two))
    of_class, iou = (two[name][-1, ..., 0].sigmoid() for name in ("logits", "iou_logits"))
    assert_close(by_class.scores, of_class, **NEAR)
    assert_close(by_both.scores, (of_class * iou).sqrt(), **NEAR)
    assert not by_class.scores.argsort(1).equal(by_both.scores.argsort(1))
    for proposals in (by_class, by_both):
        assert_close(proposals.evidence["class"], of_class, **NEAR)
        assert_close(proposals.evidence["iou"], iou, **NEAR)


OUTPUTS = {
    "spans": ("span", {"spans"}),
    "class": ("of_class", {"logits", "scores"}),
    "iou": ("iou", {"iou_logits"}),
}


@pytest.mark.parametrize("left_out", OUTPUTS)
def test_leaving_an_output_out_leaves_the_others_as_they_are(decoded, left_out):
    outputs = [output for output in OUTPUTS if output != left_out]
    full, module = head(own_layers=1), head(outputs=outputs, own_layers=1)
    name, tensors = OUTPUTS[left_out]
    own = (f"{name}.", f"own.of_{left_out}.")
    weights = {key: weight for key, weight in full.state_dict().items() if not key.startswith(own)}
    assert set(module.state_dict()) == set(weights)
    assert all(weight.equal(weights[key]) for key, weight in module.state_dict().items())
    some, all_outputs = module.of_queries(decoded), full.of_queries(decoded)
    provided = small.part("head", "task-aligned", outputs=outputs).provides
    assert set(some) == set(provided) == set(all_outputs) - tensors
    assert all(tensor.equal(all_outputs[key]) for key, tensor in some.items())


@pytest.mark.parametrize(
    "heads",
    [
        [{"use": "task-aligned", "outputs": ["spans", "class"]}],
        [{"use": "task-aligned", "outputs": ["spans", "class"]}, "iou"],
        [{"use": "task-aligned", "outputs": ["iou", "class"]}, "spans"],
        [{"use": "task-aligned", "outputs": ["spans", "iou"]}, "confidence"],
    ],
)
def test_some_outputs_may_share_features_and_others_not(heads):
    model = small.model(heads=[*heads, "saliency"])
    with torch.no_grad():
        decoded = model.decode(model.encode(batch()))
    assert decoded["spans"].shape[:3] == decoded["scores"].shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": ["iou", "iou"]}, "'iou' is listed twice; keep one."),
        ({"outputs": ["span"]}, "Input should be 'spans', 'class' or 'iou', not 'span'."),
        ({"logits": 3}, "Input should be 1 or 2, not 3."),
        ({"first_probability": 1}, "Input should be less than 1, not 1."),
        ({"outputs": []}, "Tuple should have at least 1 item after validation, not 0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValidationError) as error:
        small.part("head", "task-aligned", **options)
    assert message in str(error.value)


def test_a_model_still_needs_spans_and_scores():
    heads = [{"use": "task-aligned", "outputs": ["class", "iou"]}, "saliency"]
    with pytest.raises(ValidationError, match="heads: none of them provides 'spans'; add one that does"):
        small.model(heads=heads)


def reached(heads, output):
    """The weights of the heads that the gradient of an output reaches."""
    model = small.model(heads=heads)
    small.stirred(model.heads, 0.1)
    model.decode(model.encode(batch()))[output].pow(2).sum().backward()
    return {
        name
        for name, weight in model.heads.named_parameters()
        if weight.grad is not None and weight.grad.any()
    }


def test_the_gradient_of_the_iou_reaches_the_features_of_the_span():
    weights = reached(["task-aligned", "saliency"], "iou_logits")
    trunk = {f"task-aligned.trunk.linears.{index}.{kind}" for index in (0, 1) for kind in ("weight", "bias")}
    assert trunk <= weights
    assert not [name for name in weights if ".span." in name or ".of_class." in name]


def test_the_layers_of_an_output_get_no_gradient_of_the_others():
    weights = reached([{"use": "task-aligned", "own_layers": 1}, "saliency"], "logits")
    assert {name.split(".")[1] for name in weights} == {"trunk", "own", "of_class"}
    assert {name.split(".")[2] for name in weights if ".own." in name} == {"of_class"}


def test_the_separate_iou_has_two_hidden_layers(decoded):
    module = small.stirred(head("iou"))
    first, second, last = module.perceptron.linears
    expected = last(second(first(decoded.hidden).relu()).relu())
    assert_close(module.of_queries(decoded)["iou_logits"], expected, **NEAR)


def test_separate_heads_train_no_weight_of_each_other():
    for output, owner in (("iou_logits", "iou"), ("logits", "confidence"), ("spans", "spans")):
        weights = reached(SEPARATE, output)
        assert weights
        assert {name.split(".")[0] for name in weights} == {owner}


def test_the_separate_span_head_is_that_of_the_baseline():
    one, other = (small.model(heads=heads) for heads in (SEPARATE, ["spans", "foreground", "saliency"]))
    with torch.no_grad():
        spans = [model.decode(model.encode(batch()))["spans"] for model in (one, other)]
    assert spans[0].equal(spans[1])


def test_every_weight_learns(decoded):
    module = small.stirred(head("task-aligned-ranking", iou_share=0.5), 0.2)
    tensors = module.of_queries(decoded)
    (tensors["spans"].pow(2).sum() + tensors["ranking_scores"].sum()).backward()
    assert small.without_gradient(module) == []


def test_anchors_at_the_border_are_finite():
    decoded = Decoded(torch.randn(1, 1, 2, 8), torch.tensor([[[[0.5, 1e-9], [1.0, 0.5]]]]))
    tensors = small.stirred(head()).of_queries(decoded)
    assert bool(tensors["spans"].isfinite().all())


def test_half_precision_is_finite(decoded):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tensors = small.stirred(head("task-aligned-ranking", iou_share=0.3)).of_queries(decoded)
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
