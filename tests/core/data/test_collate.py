from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amrbench.data.collate import make_targets, pad
from amrbench.interfaces import ResultError
from amrbench.types import Query, Target

QUERY = Query("q", "a bell", "v", 3.0, ((0.0, 1.0),))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_padding_equals_its_plain_twin(lengths: list[int]) -> None:
    items = [np.full((length, 2), number + 1, np.float32) for number, length in enumerate(lengths)]
    rows, mask = pad(items)
    for index, item in enumerate(items):
        for row in range(max(lengths)):
            real = row < len(item)
            assert mask[index, row] == real
            assert rows[index, row].tolist() == (item[row].tolist() if real else [0, 0])


def test_padded_rows_start_where_memory_of_torch_does() -> None:
    rows, mask = pad([np.ones((3, 5), np.float32), np.ones((1, 5), np.float32)])
    assert rows.data_ptr() % 64 == 0
    assert (rows.dtype, mask.dtype) == (torch.float32, torch.bool)


def label(query: Query, frames: int, hop: float, rng: np.random.Generator) -> SimpleNamespace:
    spans, drawn = np.full((frames, 2), hop), rng.integers(0, 9, 2)
    return SimpleNamespace(spans=spans, relevant=np.ones(frames, np.bool_), positives=drawn, negatives=drawn)


class WholeBatch:
    """Says with its numbers what it was given."""

    def __call__(self, query: Query, frames: int, hop: float, rng: np.random.Generator) -> SimpleNamespace:
        raise AssertionError("a batch has its own method")

    def of_batch(
        self, queries: list[Query], frames: list[int], hop: float, rngs: list[np.random.Generator]
    ) -> Target:
        drawn = torch.tensor([rng.integers(0, 9, 2).tolist() for rng in rngs])
        return Target(torch.tensor(frames), torch.tensor(hop), torch.ones(len(queries)), drawn, drawn)


def generators() -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in (5, 6)]


def test_labels_of_single_queries_are_put_together() -> None:
    target = make_targets(label, [QUERY, QUERY], [1, 3], 0.5, generators())
    assert target.spans_mask.sum(1).tolist() == target.relevant.sum(1).tolist() == [1, 3]
    assert target.spans.sum().item() == 8 * 0.5
    assert target.positives.tolist() == [rng.integers(0, 9, 2).tolist() for rng in generators()]


def test_a_method_for_a_whole_batch_is_used() -> None:
    target = make_targets(WholeBatch(), [QUERY, QUERY], [1, 3], 0.5, generators())
    assert (target.spans.tolist(), target.spans_mask.item(), len(target.relevant)) == ([1, 3], 0.5, 2)
    assert target.positives.tolist() == [rng.integers(0, 9, 2).tolist() for rng in generators()]


def test_a_batch_method_that_returns_no_target_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WholeBatch, "of_batch", lambda *given: None)
    with pytest.raises(ResultError, match=r"^of_batch returns None, not a Target\.$"):
        make_targets(WholeBatch(), [QUERY], [1], 0.5, generators()[:1])
