"""Positional queries from the widths of the training windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from amrbench.files.weights import load_weights
from amrbench.types import BuildContext
from amrbench_plugins.ours.percentile_anchors import TrainedAnchors, grid, window_percentiles
from tests.plugins.moment_detr.small import WIDTHS
from tests.plugins.ours import small

ANCHORS = {"use": "percentiles", "count": 6}


def test_the_golden_case():
    golden = small.golden("query_init")
    spans = grid(golden["n_locations"], torch.tensor(golden["widths_15_50_85"], dtype=torch.float64))
    assert_close(spans, torch.tensor(golden["spans_cxw"], dtype=torch.float64), rtol=1e-10, atol=0)
    anchors = TrainedAnchors(spans, eps=1e-3)
    assert_close(anchors.logits.detach(), torch.tensor(golden["logits"]), rtol=1e-5, atol=1e-6)
    assert_close(anchors().detach(), torch.tensor(golden["spans_cxw"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("eps", "narrowest"), [(1e-3, 1e-3), (1e-5, 2e-4)])
def test_anchors_narrower_than_the_limit_are_widened_to_it(eps, narrowest):
    spans = torch.tensor([[0.5, 2e-4]], dtype=torch.float64)
    assert TrainedAnchors(spans, eps)().detach()[0].tolist() == pytest.approx([0.5, narrowest], rel=2e-3)


def test_the_limit_is_that_of_the_model():
    context = replace(small.context(window_widths=(2e-4,)), eps=1e-5)
    anchors = small.part("anchors", "percentiles", count=3).build(context)().detach()
    assert anchors[:, 1].tolist() == pytest.approx([2e-4] * 3, rel=2e-3)


def test_percentiles_equal_those_of_numpy():
    widths = tuple(np.random.default_rng(0).uniform(0, 0.7, 101).tolist())
    percentiles = window_percentiles(widths, (15, 50, 85))
    assert percentiles.tolist() == pytest.approx(np.percentile(widths, (15, 50, 85)).tolist(), rel=1e-12)


def test_each_location_has_all_percentiles():
    widths = tuple(percent / 100 for percent in range(1, 102))
    anchors = small.part("anchors", "percentiles", count=6).build(small.context(window_widths=widths))
    expected = [[c, w] for c in (0.25, 0.75) for w in (0.16, 0.51, 0.86)]
    assert_close(anchors().detach(), torch.tensor(expected), rtol=0, atol=1e-6)


def test_windows_longer_than_their_recording_count_as_its_length():
    assert window_percentiles((0.5, 1.7), (100,)).tolist() == [1.0]


def test_without_windows_all_widths_are_equally_frequent():
    assert window_percentiles((), (15, 50, 85)).tolist() == [0.15, 0.5, 0.85]


def test_no_seed_changes_them():
    one, other = (
        small.part("anchors", "percentiles").build(small.context(seed=seed)).logits for seed in (0, 7)
    )
    assert one.equal(other)
    assert one.shape == (30, 2)


def test_any_number_of_percentiles_will_do():
    part = small.part("anchors", "percentiles", count=4, percentiles=(25, 75))
    anchors = part.build(small.context())().detach()
    assert anchors.shape == (4, 2)
    assert len(anchors[:, 0].unique()) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"count": 10},
            "count is 10, which is no whole number of locations with 3 queries each; give a multiple of 3.",
        ),
        ({"percentiles": [15, 500], "count": 2}, "Input should be less than or equal to 100, not 500."),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValidationError) as error:
        small.part("anchors", "percentiles", **options)
    assert message in str(error.value)


def test_fine_tuning_starts_from_its_own_windows_and_the_other_weights():
    part = small.part("model", "moment-detr", **{
        **small.small.OPTIONS, "query": {"use": "learned", "anchors": ANCHORS}
    })  # fmt: skip
    before, after = (
        part.build(BuildContext(WIDTHS, seed=seed, window_widths=widths))
        for seed, widths in ((1, (0.1, 0.2, 0.3)), (2, (0.5, 0.6, 0.7)))
    )
    own, given = after.query.anchors.logits.detach().clone(), before.state_dict()
    load_weights(after, given, name="pretrain", fresh=("query.anchors",))
    assert after.query.anchors.logits.equal(own)
    assert not own.equal(given["query.anchors.logits"])
    others = {name: weights for name, weights in after.state_dict().items() if "anchors" not in name}
    assert all(weights.equal(given[name]) for name, weights in others.items())


def test_equal_percentiles_are_allowed():
    anchors = small.part("anchors", "percentiles").build(small.context(window_widths=(0.2, 0.2)))
    assert_close(anchors()[:, 1].detach(), torch.full((30,), 0.2))
