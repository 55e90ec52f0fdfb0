from dataclasses import fields

import pytest

from amrbench.slots import block_data
from amrbench.slots.block_data import Decoded, Fused, Keys, Memory, Queries, Tokens


@pytest.mark.parametrize("kind", [Tokens, Keys, Fused, Memory, Queries, Decoded])
def test_the_axes_are_those_of_fields_and_none_is_left_out(kind):
    tensors = {field.name for field in fields(kind) if field.type == "Tensor"}
    assert set(kind.axes) == tensors


def test_all_data_between_blocks_has_axes():
    kinds = [kind for kind in vars(block_data).values() if hasattr(kind, "__dataclass_fields__")]
    assert len(kinds) == 6
    assert all(hasattr(kind, "axes") for kind in kinds)
