"""The transformer encoder of the baseline."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from amrbench.errors import RecipeError
from amrbench.slots.blocks import Tokens
from amrbench.types import BuildContext
from tests.plugins.moment_detr import small


def test_an_encoder_has_heads_of_its_own() -> None:
    changed = small.part(text_summary={"use": "transformer", "layers": 1, "attention_heads": 5})
    message = (
        r"model\.text_summary\.encoder: attention_heads is 5, which does not divide width 16; give a divisor"
    )
    with pytest.raises(RecipeError, match=message):
        changed.build(BuildContext(small.WIDTHS))


def test_the_first_rows_alone_equal_those_of_all() -> None:
    encoder = small.model().encoder
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    tokens = Tokens(torch.randn(2, 5, 16), torch.randn(2, 5, 16), mask)
    with torch.no_grad():
        assert_close(encoder(tokens, first=2), encoder(tokens)[:, :2], atol=1e-6, rtol=0)
