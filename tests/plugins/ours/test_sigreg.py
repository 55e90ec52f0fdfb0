"""SIGReg equals the recorded values and the slow twin, and leaves the random state alone."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from amrbench.errors import RecipeError
from amrbench.registry import Registry
from amrbench.testing import check_part, make_batch, pad_batch
from amrbench.types import Batch, BuildContext, FeatureWidths, Outcome, Target
from amrbench_plugins import cgdetr, moment_detr
from amrbench_plugins.ours import sigreg
from amrbench_plugins.ours.sigreg import (
    OTHER_FORMS,
    REPORTED,
    SigregLoss,
    draw_rows,
    epps_pulley,
    unit_columns,
)
from amrbench_plugins.ours.training_parts import TAPS, Sigreg
from tests.plugins.ours.small import golden_arrays

GOLDEN = golden_arrays("sigreg")
WIDTH = 6


def statistic(y: Tensor, *, knots: int = 17, reach: float = 3.0) -> Tensor:
    """The statistic of a sample in which every row counts."""
    return epps_pulley(y, torch.ones(len(y), dtype=torch.bool), knots=knots, reach=reach)


def by_hand(column: list[float], *, knots: int, reach: float) -> float:
    """One sample, one knot at a time, over both halves of the line."""
    count, step, total = len(column), reach / (knots - 1), 0.0
    for knot in range(-knots + 1, knots):
        t = knot * step
        cosine = sum(math.cos(t * y) for y in column) / count
        sine = sum(math.sin(t * y) for y in column) / count
        normal = math.exp(-t * t / 2)
        edge = 0.5 if abs(knot) == knots - 1 else 1.0
        total += edge * step * ((cosine - normal) ** 2 + sine**2) * normal
    return count * total


def loss_of(**options: Any) -> SigregLoss:
    return cast("SigregLoss", Sigreg(**options).build(BuildContext(FeatureWidths(12, 10))))


def outcome(batch: Batch, tensors: dict[str, Tensor], *, step: int = 0) -> Outcome:
    return Outcome(batch, cast("Target", None), tensors, {}, torch.zeros(0), step)


def features(batch: Batch, seed: int = 3) -> dict[str, Tensor]:
    """Made-up features for the taps of the report."""
    generator = torch.Generator().manual_seed(seed)
    rows, frames = batch.audio_mask.shape
    shapes = dict.fromkeys(REPORTED[:3], (rows, frames, WIDTH)) | {
        "summary.text": (rows, WIDTH),
        "dummies": (rows, 3, WIDTH),
    }
    return {name: torch.randn(shape, generator=generator).requires_grad_() for name, shape in shapes.items()}


# ---------------------------------------------------------------- one direction


@pytest.mark.parametrize(("reach", "knots"), [(3, 17), (5, 17), (3, 5), (5, 41), (1, 17)])
def test_single_columns_equal_the_recorded_ones(reach, knots):
    values = statistic(GOLDEN["uni_x"], knots=knots, reach=reach)
    assert_close(values, GOLDEN[f"uni_stat_tmax{reach}_n{knots}"], rtol=1e-5, atol=1e-6)


def test_float64_equals_the_recorded_formula():
    values = statistic(GOLDEN["uni_x"].double())
    assert_close(values, GOLDEN["hand64_uni_tmax3_n17"], rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("name", "sample"), [("zeros", [0.0] * 7), ("plusminus1", [1.0, -1.0]), ("const2", [2.0] * 5)]
)
def test_simple_samples_equal_the_recorded_ones(name, sample):
    value = statistic(torch.tensor(sample)[:, None])
    assert_close(value, GOLDEN[f"anchor_{name}_tmax3_n17"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("knots", "reach"), [(2, 1.0), (9, 3.0), (17, 4.0)])
def test_columns_equal_the_slow_twin(knots, reach):
    y = torch.randn(11, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 1.7
    expected = [by_hand(column, knots=knots, reach=reach) for column in y.T.tolist()]
    assert statistic(y, knots=knots, reach=reach).tolist() == pytest.approx(expected, rel=1e-10)


def test_gradients_are_those_of_finite_differences():
    y = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    real = torch.tensor([True, True, False, True, True])
    assert torch.autograd.gradcheck(lambda sample: epps_pulley(sample, real, knots=7, reach=3.0), (y,))


def test_columns_at_once_change_neither_value_nor_gradient(monkeypatch):
    y, found = torch.randn(7, 150, generator=torch.Generator().manual_seed(0)).requires_grad_(), []
    for numbers in (sigreg.BLOCK, 128 * len(y), 1):
        monkeypatch.setattr(sigreg, "BLOCK", numbers)
        value = statistic(y)
        found.append((value, *torch.autograd.grad(value.sum(), y)))
    for other in found[1:]:
        assert_close(other, found[0])


def test_collapsed_samples_grow_with_their_number():
    for count in (2, 50):
        assert statistic(torch.zeros(count, 1)).item() == pytest.approx(count * 2.814333 / 7, rel=1e-5)
    fine = statistic(torch.zeros(10, 1, dtype=torch.float64), knots=2001, reach=12.0).item() / 10
    expected = math.sqrt(2 * math.pi) - 2 * math.sqrt(math.pi) + math.sqrt(2 * math.pi / 3)
    assert fine == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("count", [64, 1024])
def test_normal_samples_give_about_one_whatever_their_number(count):
    y = torch.randn(count, 2000, generator=torch.Generator().manual_seed(4))
    assert statistic(y).mean().item() == pytest.approx(1.053, rel=0.04)


def test_a_single_row_gives_zero():
    one = torch.tensor([[3.0]], requires_grad=True)
    value = statistic(one)
    value.sum().backward()
    assert value.item() == 0
    assert one.grad.item() == 0


# ---------------------------------------------------------------- many directions


def test_slices_and_gradient_equal_the_recorded_ones():
    x = GOLDEN["sl_x"].clone().requires_grad_()
    values = statistic(x @ GOLDEN["sl_A_step7_K16"])
    assert_close(values, GOLDEN["sl_per_slice"], rtol=1e-5, atol=1e-6)
    assert values.mean().item() == pytest.approx(GOLDEN["sl_mean"].item(), rel=1e-5)
    values.mean().backward()
    assert_close(x.grad, GOLDEN["sl_grad_x"], rtol=1e-4, atol=1e-6)
    wide = statistic(x @ GOLDEN["sl_A_step7_K16"], reach=5.0).mean().item()
    assert wide == pytest.approx(GOLDEN["sl_mean_tmax5"].item(), rel=1e-5)


def test_masked_rows_do_not_count():
    mask = GOLDEN["mask"]
    x = GOLDEN["sl_x"].clone().masked_fill(~mask[:, None], 55.0).requires_grad_()
    mean = epps_pulley(x @ GOLDEN["sl_A_step7_K16"], mask, knots=17, reach=3.0).mean()
    assert mean.item() == pytest.approx(GOLDEN["sl_masked_mean"].item(), rel=1e-5)
    mean.backward()
    assert_close(x.grad[mask], GOLDEN["sl_masked_grad_valid"], rtol=1e-4, atol=1e-6)
    assert not x.grad[~mask].any()


def test_batch_and_time_are_one_sample():
    x, directions = GOLDEN["slb_x"], GOLDEN["sl_A_step7_K16"]
    assert statistic((x.flatten(0, 1)) @ directions).mean().item() == pytest.approx(
        GOLDEN["slb_flat_mean"].item(), rel=1e-5
    )
    separate = torch.stack([statistic(rows @ directions) for rows in x])
    assert_close(separate, GOLDEN["slb_per_slice"], rtol=1e-5, atol=1e-6)
    assert separate.mean().item() == pytest.approx(GOLDEN["slb_mean"].item(), rel=1e-5)


def test_rotating_features_and_directions_and_shuffling_rows_changes_nothing():
    generator = torch.Generator().manual_seed(6)
    x, directions = GOLDEN["sl_x"].double(), GOLDEN["sl_A_step7_K16"].double()
    rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH, dtype=torch.float64, generator=generator))[0]
    plain = statistic(x @ directions)
    assert_close(statistic((x @ rotation) @ (rotation.T @ directions)), plain)
    assert_close(statistic(x[torch.randperm(32, generator=generator)] @ directions), plain)


def test_directions_have_length_one():
    directions = unit_columns(7, 30, torch.Generator().manual_seed(0))
    assert_close(directions.norm(dim=0), torch.ones(30))
    assert directions.sum(1).abs().max() < 15, "they differ"


# ---------------------------------------------------------------- rows


def test_all_rows_are_drawn_if_they_are_few():
    mask = torch.tensor([[True, False], [True, True]])
    assert draw_rows(mask, 4, torch.Generator()).tolist() == [0, 1, 2, 3]


def test_real_rows_come_first_and_are_equally_likely():
    mask = torch.arange(10)[None] < torch.tensor([10, 4, 7])[:, None]
    hits = torch.zeros(30)
    for seed in range(2000):
        chosen = draw_rows(mask, 7, torch.Generator().manual_seed(seed))
        assert len(chosen.unique()) == 7
        assert mask.flatten()[chosen].all()
        hits[chosen] += 1
    frequency = hits[mask.flatten()] / 2000
    assert frequency.min() > 7 / 21 - 0.05
    assert frequency.max() < 7 / 21 + 0.05


def test_padding_is_drawn_only_after_all_real_rows():
    mask = torch.arange(10)[None] < torch.tensor([3, 2])[:, None]
    chosen = draw_rows(mask, 8, torch.Generator().manual_seed(0))
    assert mask.flatten()[chosen[:5]].all()


# ---------------------------------------------------------------- the loss


def test_terms_equal_the_slow_twin_on_the_same_directions():
    batch = make_batch()
    given = features(batch)
    loss = loss_of(slices=5, knots=9, weight=0.5)
    for step in (0, 7):
        terms = loss(outcome(batch, given, step=step))
        assert list(terms) == [f"sigreg.{tap}" for tap in REPORTED]
        for index, tap in enumerate(REPORTED):
            directions = unit_columns(WIDTH, 5, torch.Generator().manual_seed(step * 5 + index))
            rows = given[tap][batch.audio_mask] if index < 3 else given[tap].flatten(0, -2)
            columns = (rows @ directions).T.tolist()
            expected = sum(by_hand(column, knots=9, reach=3.0) for column in columns) / 5
            assert terms[f"sigreg.{tap}"].item() == pytest.approx(0.5 / 5 * expected, rel=1e-4)


@pytest.mark.parametrize("rows", [1024, 20])
def test_padding_and_its_content_change_nothing(rows):
    batch = make_batch()
    given, loss = features(batch), loss_of(rows=rows, slices=8)
    plain = loss(outcome(batch, given))
    wide, padded = pad_batch(batch, frames=6), dict(given)
    for tap in REPORTED[:3]:
        more = torch.full((4, 6, WIDTH), torch.nan)
        kept = given[tap].detach().masked_fill(~batch.audio_mask[..., None], torch.nan)
        padded[tap] = torch.cat([kept, more], 1).requires_grad_()
    terms = loss(outcome(wide, padded))
    for name, term in plain.items():
        assert_close(terms[name], term, rtol=1e-5, atol=1e-7)
    torch.stack(list(terms.values())).sum().backward()
    assert all(bool(tensor.grad.isfinite().all()) for tensor in padded.values())


def test_draws_depend_on_the_step_and_leave_the_random_state_alone():
    batch = make_batch()
    given, loss = features(batch), loss_of(rows=20, slices=8)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = loss(outcome(batch, given, step=4))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, later = loss(outcome(batch, given, step=4)), loss(outcome(batch, given, step=5))
    assert all(torch.equal(again[name], term) for name, term in first.items())
    assert not any(torch.equal(later[name], term) for name, term in first.items())


def test_models_of_an_array_have_the_terms_and_gradients_of_each_alone():
    batch, loss = make_batch(), loss_of(rows=20, slices=8)
    models = [{tap: 1.5**k * tensor for tap, tensor in features(batch).items()} for k in range(3)]
    stacked = {tap: torch.stack([own[tap] for own in models]).detach().requires_grad_() for tap in REPORTED}
    together = torch.vmap(lambda own: loss(outcome(batch, own, step=4)), randomness="different")(stacked)
    torch.stack(list(together.values())).sum().backward()
    for k, own in enumerate(models):
        given = {tap: tensor.detach().requires_grad_() for tap, tensor in own.items()}
        alone = loss(outcome(batch, given, step=4))
        torch.stack(list(alone.values())).sum().backward()
        for name, term in alone.items():
            assert_close(together[name][k], term)
        for tap in REPORTED:
            assert_close(stacked[tap].grad[k], given[tap].grad)


def test_features_that_a_model_does_not_provide_are_left_out():
    batch = make_batch()
    given = features(batch)
    del given["memory.temporal-difference"], given["dummies"]
    loss = loss_of()
    terms = loss(outcome(batch, given))
    assert list(terms) == ["sigreg.audio.refined", "sigreg.memory.encoded", "sigreg.summary.text"]
    alone = loss_of(taps=("summary.text",))(outcome(batch, given))
    assert_close(alone["sigreg.summary.text"], 3 * terms["sigreg.summary.text"])


def test_a_model_without_any_of_them_is_refused():
    loss = loss_of(taps=("dummies", "memory.temporal-difference"))
    with pytest.raises(RecipeError) as error:
        loss(outcome(make_batch(), {}))
    assert str(error.value) == (
        "loss 'sigreg': this model provides none of dummies, memory.temporal-difference; "
        "add one that it provides to taps, or leave the loss out."
    )


def test_a_feature_is_listed_once():
    with pytest.raises(ValidationError, match="'dummies' is listed twice; keep one"):
        Sigreg(taps=("dummies", "dummies"))


def test_an_even_number_of_knots_is_refused():
    with pytest.raises(ValidationError) as error:
        Sigreg(knots=16)
    assert "16 is even; give an odd number, as the public code of this loss demands." in str(error.value)
    assert Sigreg(knots=3).knots == 3


def test_half_precision_features_are_compared_in_float32():
    batch = make_batch()
    given = {name: tensor.detach().bfloat16() for name, tensor in features(batch).items()}
    full = {name: tensor.float() for name, tensor in given.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = loss_of()(outcome(batch, given))
    assert half == loss_of()(outcome(batch, full))


def test_the_loss_keeps_the_contract():
    registry = Registry.of(*moment_detr.amrbench_parts(), *cgdetr.amrbench_parts(), Sigreg)
    check_part(Sigreg(rows=16), registry)


def test_the_baseline_provides_all_but_the_temporal_difference():
    registry = Registry.of(*moment_detr.amrbench_parts())
    part = registry.find("model", "moment-detr")
    model = part.model_validate(dict(part.example), context=registry)
    assert Sigreg().requires <= set(model.provides)
    assert set(REPORTED) - set(model.provides) == {"memory.temporal-difference"}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_other_forms_of_the_temporal_difference_count_as_the_reported_one(form):
    assert set(TAPS) - set(REPORTED) == set(OTHER_FORMS)
    batch = make_batch()
    given, loss = features(batch), loss_of()
    reported = loss(outcome(batch, given, step=3))
    given[form] = given.pop("memory.temporal-difference")
    other = loss(outcome(batch, given, step=3))
    assert other.pop(f"sigreg.{form}").equal(reported.pop("sigreg.memory.temporal-difference"))
    assert other == reported
