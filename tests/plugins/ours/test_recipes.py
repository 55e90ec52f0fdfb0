"""The recipes of the four submissions: their differences, and their parts working together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from amrbench.config.load import load_recipe, shipped
from amrbench.config.recipe import Budget, Recipe
from amrbench.config.study import differences as paths_of_differences
from amrbench.discovery import load_registry
from amrbench.files.weights import load_weights, state_of
from amrbench.part import parts_in
from amrbench.testing import WIDTHS, make_batch, make_target
from amrbench.training.criterion import Criterion, build_criterion
from amrbench.training.stage_spec import StageSpec
from amrbench.types import BuildContext, Losses, TrainingLength
from amrbench_plugins.optimizers.parts import AdamW, Cosine
from amrbench_plugins.ours.sigreg import REPORTED
from amrbench_plugins.ours.training_parts import PeriodicAsam
from tests.folders import ROOT
from tests.plugins.moment_detr.test_network import Reads
from tests.plugins.ours.clips import clips

REGISTRY = load_registry()
OURS = {path.stem: load_recipe(path, REGISTRY) for path in shipped("recipe") if path.stem.startswith("ours")}
SMALL = Budget(width=16, feedforward=24, layers=2, dummies=3)
NARROW, WIDE = (0.01, 0.02, 0.05), (0.2, 0.3, 0.5)


def criterion_of(name: str = "ours1", *, seed: int = 0, widths: tuple[float, ...] = WIDE) -> Criterion:
    context = BuildContext(WIDTHS, seed=seed, input_dropout=0.3, window_widths=widths)
    return build_criterion(SMALL.of(OURS[name]), context)


def differences(one: Recipe, other: Recipe) -> set[str]:
    a, b = one.model_dump(mode="json"), other.model_dump(mode="json")
    return {key for key in a if a[key] != b[key]} - {"name", "about", "against"}


def test_the_four_recipes_differ_in_one_section_each():
    assert sorted(OURS) == ["ours1", "ours1-report", "ours2", "ours3", "ours3-search", "ours4"]
    assert differences(OURS["ours1"], OURS["ours2"]) == {"features"}
    assert differences(OURS["ours2"], OURS["ours3"]) == {"stages"}
    assert differences(OURS["ours3"], OURS["ours4"]) == {"soup"}, "so they share every stage"
    assert differences(OURS["ours3"], OURS["ours3-search"]) == {"readout"}, "these too"
    assert [stage.name for stage in OURS["ours2"].stages] == ["pretrain", "finetune"]
    assert [stage.name for stage in OURS["ours3"].stages] == ["pretrain", "midtrain", "finetune"]


BEYOND_THE_REPORT = {
    "model.eps",
    "stages.finetune.input_dropout",
    "training.optimizer.adamw.decays",
    "training.optimizer.ema",
    "training.optimizer.periodic-asam",
    "training.optimizer.periodic-asam-fresh-dropout",
    "training.targets.max_windows",
    "training.targets.pairs",
    "training.targets.saliency",
}


def test_what_ours1_has_beyond_the_report_is_listed():
    report, ours1 = (OURS[name].model_dump(mode="json") for name in ("ours1-report", "ours1"))
    paths = set(paths_of_differences(report, ours1)) - {"name", "about"}
    assert paths == BEYOND_THE_REPORT
    page = (ROOT / "docs" / "components.md").read_text()
    section = page.split("## What ours1 has beyond the report")[1].split("\n## ")[0]
    assert [path for path in paths if f"`{path.removesuffix('-fresh-dropout')}`" not in section] == []


def test_where_the_report_says_nothing_ours1_report_is_the_baseline():
    report, baseline = OURS["ours1-report"], load_recipe("cgdetr", REGISTRY)
    assert report.training.targets == baseline.training.targets
    assert report.model.eps == baseline.model.eps
    for mine, its in zip(report.stages, baseline.stages, strict=True):
        assert mine.model_copy(update={"fresh": ()}) == its
    assert report.training.optimizer.around.decays == baseline.training.optimizer.decays == "everything"


@pytest.mark.parametrize("name", OURS)
def test_every_submission_has_30_queries(name):
    anchors = OURS[name].model.query.anchors
    assert (anchors.use, anchors.count) == ("percentiles", 30)
    batch = make_batch()
    model: Any = criterion_of(name).model
    assert model.decode(model.encode(batch))["spans"].shape[2] == 30


@pytest.mark.parametrize("name", OURS)
def test_every_submission_takes_each_fifth_step_with_asam(name):
    parts = [part for part in parts_in(OURS[name].training.optimizer) if part.use.startswith("periodic-asam")]
    assert [part.period for part in parts] == [5]


@pytest.mark.parametrize(
    ("name", "use"), [("ours1", "uniform"), ("ours2", "uniform"), ("ours3", "uniform"), ("ours4", "fisher")]
)
def test_the_soups_are_those_of_the_report(name, use):
    soup = OURS[name].soup
    assert (soup.use, soup.ingredient) == (use, "best")


BASELINES = {name: load_recipe(name, REGISTRY) for name in ("cgdetr", "cgdetr-search", "cgdetr-scratch")}


@pytest.mark.parametrize("recipe", [*BASELINES.values(), *OURS.values()], ids=lambda recipe: recipe.name)
def test_sizes_and_lengths_that_protocols_replace_are_those_of_the_public_baseline(recipe):
    model = recipe.model
    assert (model.width, model.attention_heads, model.feedforward, model.dropout) == (256, 8, 1024, 0.1)
    assert (model.fusion.layers, model.fusion.dummies, model.decoder.layers) == (2, 45, 3)
    assert getattr(model.encoder, "around", model.encoder).layers == 3
    assert (recipe.training.batch, recipe.training.clip) == (32, 0.1)
    epochs = {"pretrain": 200, "midtrain": 100, "target": 200}
    assert all(stage.epochs == epochs[stage.data] for stage in recipe.stages)


@pytest.mark.parametrize("name", OURS)
def test_rates_and_dropout_that_protocols_replace_are_those_of_the_pages(name):
    recipe = OURS[name]
    (adamw,) = (part for part in parts_in(recipe.training.optimizer) if part.use == "adamw")
    assert (adamw.lr, adamw.schedule) == (1e-4, Cosine(warmup=0.05, floor=0.01))
    finetune = 0.5 if name == "ours1-report" else 0.3
    assert [stage.input_dropout for stage in recipe.stages] == [*[0.5] * (len(recipe.stages) - 1), finetune]


def test_the_fisher_soup_of_ours4_reads_the_losses_of_spans_class_and_iou():
    soup = OURS["ours4"].soup
    assert (soup.losses, soup.data) == (("span-l1", "span-giou", "varifocal", "iou-l1"), "select")
    assert soup.floor == 1e-6


@pytest.mark.parametrize(
    ("name", "use"), [("ours1", "clap"), ("ours2", "m2d-clap"), ("ours3", "m2d-clap"), ("ours4", "m2d-clap")]
)
def test_the_features_are_those_of_the_report(name, use):
    assert OURS[name].features.use == use


@pytest.mark.parametrize("name", ["ours1", "ours3"])
def test_fine_tuning_starts_from_all_weights_but_the_anchors_which_are_computed_again(name):
    before, after = criterion_of(name, widths=WIDE), criterion_of(name, seed=1, widths=NARROW)
    state = state_of(before)
    fresh = [f"model.{path}" for path in OURS[name].stages[-1].fresh]
    anchors = after.model.query.anchors().detach().clone()
    load_weights(after, state, name="before", fresh=fresh)
    assert torch.equal(after.model.query.anchors(), anchors)
    assert anchors[:3, 1].tolist() == pytest.approx(NARROW_PERCENTILES, rel=1e-3)
    for key, value in after.state_dict().items():
        if not key.startswith("model.query.anchors."):
            assert torch.equal(value, state[key]), key


NARROW_PERCENTILES = [0.013, 0.02, 0.041]
"""The 15th, 50th and 85th percentile of three widths, by linear interpolation."""


def test_seeds_agree_in_all_that_is_not_trained():
    one, other = criterion_of(seed=0), criterion_of(seed=1)
    trained = {name for name, weight in one.named_parameters() if weight.requires_grad}
    fixed = {name: value for name, value in one.state_dict().items() if name not in trained}
    assert fixed, "the Fourier map at least"
    states = other.state_dict()
    assert all(torch.equal(value, states[name]) for name, value in fixed.items())
    assert torch.equal(one.model.query.anchors(), other.model.query.anchors())


def keys_of(recipe: Recipe) -> list[str]:
    source, parent, keys = clips(queries_each=1), None, []
    versions = {
        f"{part.slot}/{part.use}": str(part.version) for part in parts_in([recipe.model, recipe.training])
    }
    for index in range(len(recipe.stages)):
        parent = StageSpec(
            recipe, index, 0, (source,), source, versions=versions, threads=1, device="cpu", parent=parent
        )
        keys.append(parent.key)
    return keys


def test_ours1_with_the_baseline_part_in_each_slot_is_the_baseline():
    baseline = load_recipe("cgdetr", REGISTRY)
    ours, theirs = OURS["ours1"].model_dump(mode="json"), baseline.model_dump(mode="json")
    for section in ("model", "training"):
        for slot in theirs[section]:
            assert slot in ours[section]
            ours[section][slot] = theirs[section][slot]
    ours |= {name: theirs[name] for name in ("stages", "soup", "ranking")}
    made = Recipe.model_validate(ours, context=REGISTRY)
    assert made.model_dump(mode="json", exclude={"name", "about"}) == baseline.model_dump(
        mode="json", exclude={"name", "about"}
    )
    assert keys_of(made) == keys_of(baseline) != keys_of(OURS["ours1"])


def test_the_recipe_of_all_soups_shares_the_stages_of_ours1():
    soups = load_recipe("soups", REGISTRY)
    assert differences(soups, OURS["ours1"]) == {"soup"}
    assert keys_of(soups) == keys_of(OURS["ours1"])
    assert [part.use for part in soups.soup.of] == ["best", "last", "uniform", "uniform", "greedy", "fisher"]


def losses_of(criterion: Criterion, step: int = 0) -> Losses:
    batch = make_batch()
    losses: Losses = criterion(batch, make_target(batch), step)
    return losses


def test_every_loss_has_a_finite_term_and_every_weight_a_gradient():
    criterion = criterion_of().train()
    torch.manual_seed(0)
    losses = losses_of(criterion)
    assert {f"sigreg.{tap}" for tap in REPORTED} <= set(losses.terms)
    assert {"varifocal", "iou-l1", "span-l1", "span-giou", "saliency"} <= set(losses.terms)
    assert all(bool(term.isfinite()) for term in losses.terms.values())
    losses.total.backward()
    trained = {name: weight for name, weight in criterion.named_parameters() if weight.requires_grad}
    assert not [name for name, weight in trained.items() if weight.grad is None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients_of(criterion))


def gradients_of(criterion: Criterion) -> list[Tensor]:
    return [weight.grad for weight in criterion.parameters() if weight.grad is not None]


def test_half_precision_gives_finite_terms_and_gradients():
    criterion = criterion_of().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = losses_of(criterion)
    losses.total.backward()
    assert all(bool(term.isfinite()) for term in losses.terms.values())
    assert all(bool(gradient.isfinite().all()) for gradient in gradients_of(criterion))


@pytest.mark.parametrize("tap", REPORTED)
def test_the_gradient_of_each_regularised_feature_reaches_its_own_modules(tap):
    part = next(part for part in OURS["ours1"].training.losses if part.use == "sigreg")
    loss = part.model_copy(update={"taps": (tap,)}).build(BuildContext(WIDTHS))
    criterion = criterion_of().train()
    alone = Criterion(criterion.model, criterion.matcher, {"sigreg": loss})
    losses_of(alone).total.backward()
    reached = {
        module
        for module in ("audio_projection", "text_projection", "encoder", "memory_refine", "decoder")
        if any(weight.grad is not None for weight in getattr(criterion.model, module).parameters())
    }
    expected: dict[str, set[str]] = {
        "audio.refined": {"audio_projection"},
        "memory.encoded": {"audio_projection", "text_projection", "encoder"},
        "memory.temporal-difference": {"audio_projection", "text_projection", "encoder", "memory_refine"},
        "summary.text": {"text_projection"},
        "dummies": {"text_projection"},
    }
    assert reached == expected[tap]


def test_both_passes_of_an_asam_step_compute_one_function():
    criterion, seen = criterion_of().train(), []

    def noted() -> Losses:
        losses = losses_of(criterion, step=4)
        seen.append(losses.terms)
        return losses

    torch.manual_seed(0)
    PeriodicAsam(around=AdamW(), rho=0.0, period=1).build(criterion, TrainingLength(1, 1, 0.1)).step(noted)
    first, second = seen
    assert all(torch.equal(second[name], term) for name, term in first.items())


def stepped(name: str, *, steps: int = 6) -> list[Tensor]:
    """Return the totals of some steps on one batch."""
    criterion = criterion_of(name).train()
    training = OURS[name].training
    torch.manual_seed(0)
    updater = training.optimizer.build(criterion, TrainingLength(1, steps, training.clip))
    losses = [updater.step(lambda step=step: losses_of(criterion, step)) for step in range(steps)]
    return [of_step.total.detach() for of_step in losses]


def test_steps_of_the_recipe_repeat_bit_by_bit():
    first, again = stepped("ours1"), stepped("ours1")
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(bool(total.isfinite()) for total in first)


def test_the_rate_and_schedule_of_a_stage_reach_adamw_through_the_average_and_asam():
    recipe = OURS["ours3"]
    stage = recipe.stages[-1].model_copy(update={"lr": 2e-5, "schedule": Cosine(warmup=0.5, floor=0.5)})
    updaters = [
        recipe.training_of(own).optimizer.build(nn.Linear(2, 2), TrainingLength(1, 4, 0.1))
        for own in (recipe.stages[-1], stage)
    ]
    usual, own = (updater.around.around for updater in updaters)
    assert (usual.rate, own.rate) == (1e-4, 2e-5)
    assert [own.schedule(step) for step in (2, 4)] == [1, 0.5]
    assert updaters[1].decay == updaters[0].decay


def test_predictions_do_not_depend_on_targets():
    criterion: Any = criterion_of().eval()
    batch = make_batch()
    with torch.no_grad():
        plain = criterion.model.decode(criterion.model.encode(batch))
        losses_of(criterion)
        again = criterion.model.decode(criterion.model.encode(batch, criterion.views))
    assert {"spans", "scores"} <= plain.keys()
    for name, tensor in plain.items():
        assert_close(again[name], tensor, rtol=0, atol=1e-6)


def test_losses_and_asam_do_not_wait_for_the_device():
    criterion = criterion_of().train()
    updater = PeriodicAsam(around=AdamW(), period=1).build(criterion, TrainingLength(1, 1, 0.1))
    batch = make_batch()
    target = make_target(batch)
    with torch.no_grad():
        encoded = criterion.model.encode(batch, criterion.views)
        matched = criterion.matcher(criterion.model.decode(encoded), target)
    criterion.matcher = lambda tensors, target: matched
    with Reads() as reads:
        updater.step(lambda: criterion(batch, target, 3))
    assert reads.found == []
