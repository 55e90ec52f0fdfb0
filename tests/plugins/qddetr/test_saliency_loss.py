"""The saliency loss of QD-DETR, compared with its plain twin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from amrbench.types import BuildContext, FeatureWidths
from tests.oracle import qddetr_cases as cases
from tests.oracle.qddetr import QDDETR
from tests.oracle.qddetr_loss import criterion
from tests.plugins.cgdetr.golden import outcome_of, target_of
from tests.plugins.cgdetr.made_up import KINDS, made_up
from tests.plugins.qddetr import golden


def loss(weight: float = 1.0) -> Any:
    return golden.option("loss", "negative-pairs", weight=weight).build(BuildContext(FeatureWidths(24, 20)))


@pytest.mark.parametrize("kind", KINDS)
def test_made_up_batches_have_the_loss_of_the_plain_twin(kind: str) -> None:
    inputs, targets = made_up(kind)
    plain = QDDETR(cases.CONFIG).eval()
    plain.load_state_dict(cases.weights())
    expected = criterion(plain(inputs), targets)["loss_saliency"]
    result = golden.run(golden.ours(tiled=False).model, inputs)
    assert_close(loss()(outcome_of(result, target_of(targets)))["saliency"], expected, rtol=1e-5, atol=1e-6)


def outcome(kind: str = "plain") -> Any:
    inputs, targets = made_up(kind)
    return outcome_of(golden.run(golden.ours(tiled=False).model, inputs), target_of(targets))


def test_the_weight_is_a_factor() -> None:
    given = outcome()
    assert_close(loss(3.0)(given)["saliency"], 3 * loss()(given)["saliency"])


def test_high_scores_under_a_mismatched_text_have_a_finite_loss() -> None:
    given = outcome()
    view = {"saliency": torch.full_like(given.tensors["saliency"], 200.0)}
    assert loss()(replace(given, views={golden.VIEW: view}))["saliency"].isfinite()


def test_queries_of_one_recording_count_as_mismatched() -> None:
    given = outcome("one recording")
    assert not given.views[golden.VIEW]["differs"].any()
    higher = {"saliency": given.views[golden.VIEW]["saliency"] + 1}
    assert loss()(replace(given, views={golden.VIEW: higher}))["saliency"] > loss()(given)["saliency"]
