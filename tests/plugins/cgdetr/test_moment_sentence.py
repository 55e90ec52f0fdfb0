"""Messages of the loss that owns the moment encoder."""

from __future__ import annotations

import pytest

from amrbench.errors import RecipeError
from amrbench.types import BuildContext, FeatureWidths
from tests.plugins.cgdetr import golden
from tests.plugins.cgdetr.made_up import made_up, outcome


def test_a_loss_of_another_width_is_refused() -> None:
    ours = golden.ours(tiled=False)
    inputs, targets = made_up("plain")
    loss = golden.option("loss", "moment-sentence", width=64).build(BuildContext(FeatureWidths(24, 20)))
    with pytest.raises(
        RecipeError, match="loss 'moment-sentence': width is 64, but the model's is 32; give both"
    ):
        loss(outcome(ours, inputs, targets))


def test_heads_of_the_moment_encoder_divide_its_width() -> None:
    with pytest.raises(ValueError, match="attention_heads is 3, which does not divide width 256"):
        golden.option("loss", "moment-sentence", attention_heads=3)
