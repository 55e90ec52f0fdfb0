from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from amrbench.data.collate import pad


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_padding_equals_its_plain_twin(lengths: list[int]) -> None:
    items = [torch.full((length, 2), float(number + 1)) for number, length in enumerate(lengths)]
    rows, mask = pad(items)
    for index, item in enumerate(items):
        for row in range(max(lengths)):
            real = row < len(item)
            assert mask[index, row] == real
            assert rows[index, row].tolist() == (item[row].tolist() if real else [0, 0])
