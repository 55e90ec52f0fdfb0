from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from amrbench.data.collate import RaggedTensor, concat_ragged, pad, ragged_tensor


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_padding_equals_its_plain_twin(lengths: list[int]) -> None:
    items = [torch.full((length, 2), float(number + 1)) for number, length in enumerate(lengths)]
    padded = pad(items)
    for index, item in enumerate(items):
        for row in range(max(lengths)):
            real = row < len(item)
            assert padded.mask[index, row] == real
            assert padded.rows[index, row].tolist() == (item[row].tolist() if real else [0, 0])


def ragged(*lengths: int) -> RaggedTensor:
    items = [np.full((length, 2), length, np.float32) for length in lengths]
    return ragged_tensor(iter(items), lengths, 2)


def test_items_keep_their_order_and_length() -> None:
    table = ragged(3, 0, 2)
    assert len(table) == 3
    assert [table.length(index) for index in range(3)] == [3, 0, 2]
    assert table.item(2).tolist() == [[2, 2], [2, 2]]
    assert table.flat.shape == (5, 2)


def test_tables_are_joined_one_after_another() -> None:
    joined = concat_ragged([ragged(3, 0), ragged(2)])
    assert joined.offsets.tolist() == ragged(3, 0, 2).offsets.tolist()
    assert torch.equal(joined.flat, ragged(3, 0, 2).flat)
