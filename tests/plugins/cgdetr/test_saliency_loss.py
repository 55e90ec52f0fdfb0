"""Losses of saliency: limits of the attention."""

from __future__ import annotations

from dataclasses import replace

import torch

from amrbench.types import BuildContext, FeatureWidths
from tests.plugins.cgdetr import golden
from tests.plugins.cgdetr.made_up import made_up, outcome


def test_saliency_stays_finite_when_a_mismatched_text_takes_all_attention() -> None:
    result = outcome(golden.ours(tiled=False), *made_up("plain"))
    view = dict(result.views[golden.VIEW])
    view["attention.text"] = torch.ones_like(view["attention.text"])
    loss = golden.option("loss", "saliency").build(BuildContext(FeatureWidths(24, 20)))
    assert loss(replace(result, views={golden.VIEW: view}))["saliency.attention"].isfinite()
