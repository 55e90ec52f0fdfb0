"""Messages of the parts of the blocks."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from amrbench.errors import RecipeError
from amrbench.types import BuildContext
from tests.plugins.moment_detr import small


def test_an_encoder_has_heads_of_its_own() -> None:
    changed = small.part(text_summary={"use": "transformer", "layers": 1, "attention_heads": 5})
    message = (
        r"model\.text_summary\.encoder: attention_heads is 5, which does not divide width 16; give a divisor"
    )
    with pytest.raises(RecipeError, match=message):
        changed.build(BuildContext(small.WIDTHS))


def test_more_prompts_than_there_are_cannot_be_used() -> None:
    with pytest.raises(ValidationError, match="prompts_used is 3, but there are only 2 prompts"):
        small.part(fusion={"use": "adaptive-cross-attention", "prompts": 2, "prompts_used": 3})
