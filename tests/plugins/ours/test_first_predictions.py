"""What the shipped recipes predict before any training: the anchors, from every layer of the decoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from amrbench.config.load import load_recipe
from amrbench.config.recipe import Recipe
from amrbench.config.study import Study, expand
from amrbench.discovery import load_registry
from amrbench.functional.spans import iou
from amrbench.testing import WIDTHS, make_batch
from amrbench.types import BuildContext
from amrbench_plugins.ours.percentile_anchors import grid, window_percentiles

REGISTRY = load_registry()
OURS = ("ours1-report", "ours1", "ours2", "ours3", "ours4")
TRUE_WIDTHS = {
    "castella": tuple(seconds / 300 for seconds in (1, 1, 2, 4, 7, 15, 40)),
    "clotho-moment": tuple(seconds / 60 for seconds in (8, 15, 18, 20, 23, 26, 30)),
}


def first_spans(recipe: Recipe, widths: tuple[float, ...], *, seed: int = 0) -> Tensor:
    """Return the first predictions (N, B, Q, 2) of the model of a recipe."""
    model: Any = recipe.model.build(BuildContext(WIDTHS, seed=seed, window_widths=widths)).eval()
    with torch.no_grad():
        spans: Tensor = model.decode(model.encode(make_batch()))["spans"]
    return spans


def overlap(spans: Tensor, widths: tuple[float, ...]) -> Tensor:
    """Return the IoU (N, B, Q) of spans with the percentile anchors, computed anew from the widths."""
    anchors = grid(10, window_percentiles(widths, (15, 50, 85))).float()
    return iou(spans, anchors)


@pytest.mark.parametrize("corpus", TRUE_WIDTHS)
@pytest.mark.parametrize("name", OURS)
def test_the_first_predictions_of_every_layer_are_the_anchors(name: str, corpus: str) -> None:
    spans = first_spans(load_recipe(name, REGISTRY), TRUE_WIDTHS[corpus])
    assert spans.shape[0] == 3
    assert spans.shape[2:] == (30, 2)
    assert_close(overlap(spans, TRUE_WIDTHS[corpus]), torch.ones(spans.shape[:3]), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("study", "change"),
    [("components", "percentiles-first"), ("heads", "baseline-heads"), ("heads", "separate")],
)
def test_rows_of_studies_with_other_heads_start_from_the_anchors(study: str, change: str) -> None:
    expanded = expand(study, REGISTRY)
    assert isinstance(expanded, Study)
    (row,) = (variant for variant in expanded.variants if variant.change == change)
    spans = first_spans(row.recipe, TRUE_WIDTHS["castella"])
    assert_close(overlap(spans, TRUE_WIDTHS["castella"]), torch.ones(spans.shape[:3]), rtol=0, atol=1e-3)


def with_drawn(recipe: Recipe, *, decoder: str, head: str) -> Recipe:
    content = recipe.model_dump(mode="json")
    content["model"]["decoder"]["first_corrections"] = decoder
    content["model"]["heads"][0]["first_corrections"] = head
    return Recipe.model_validate(content, context=REGISTRY)


@pytest.mark.parametrize(("decoder", "head"), [("drawn", "zero"), ("zero", "drawn"), ("drawn", "drawn")])
def test_drawn_corrections_move_narrow_anchors_away(decoder: str, head: str) -> None:
    widths = TRUE_WIDTHS["castella"]
    recipe = with_drawn(load_recipe("ours1", REGISTRY), decoder=decoder, head=head)
    assert float(overlap(first_spans(recipe, widths), widths)[-1].mean()) < 0.95


@pytest.mark.parametrize("head", ["spans", "task-aligned"])
def test_the_anchors_can_be_kept_with_either_head(head: str) -> None:
    content = load_recipe("ours1", REGISTRY).model_dump(mode="json")
    zero = {"use": head, "first_corrections": "zero"}
    content["model"]["heads"] = [zero, *(["foreground", "iou"] if head == "spans" else []), "saliency"]
    widths = TRUE_WIDTHS["castella"]
    spans = first_spans(Recipe.model_validate(content, context=REGISTRY), widths)
    assert_close(overlap(spans, widths), torch.ones(spans.shape[:3]), rtol=0, atol=1e-3)


def test_the_baseline_draws_its_corrections_as_its_reference_does() -> None:
    model = load_recipe("cgdetr", REGISTRY).model
    assert model.decoder.first_corrections == model.heads[0].first_corrections == "drawn"
    built: Any = model.build(BuildContext(WIDTHS))
    assert built.decoder.correction.last.weight.any()
    assert built.heads["spans"].perceptron.last.weight.any()
