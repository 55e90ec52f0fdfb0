import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amrbench.data import forward_reader
from amrbench.data.forward_reader import ForwardReader, in_blocks

ALL = np.arange(2000, dtype=np.float32).reshape(-1, 2)


def reader(sizes, kept):
    """Return a reader of `ALL` in blocks of these sizes, and the list of its beginnings."""
    begun = []

    def decode():
        begun.append(1)
        start = 0
        while start < len(ALL):
            size = sizes[start % len(sizes)]
            yield ALL[start : start + size]
            start += size

    return ForwardReader(decode, kept), begun


@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    kept=st.integers(0, 500),
    parts=st.lists(st.tuples(st.integers(0, 1100), st.integers(0, 700)), max_size=8),
)
def test_any_part_is_that_of_the_whole(sizes, kept, parts):
    own, _ = reader(sizes, kept)
    for start, size in parts:
        assert np.array_equal(own.read(start, size).reshape(-1, 2), ALL[start : start + size])


@pytest.mark.parametrize("sizes", [[1], [7, 90], [5000]])
def test_windows_that_overlap_are_decoded_once(sizes):
    own, begun = reader(sizes, kept=60)
    for start in range(0, 900, 75):
        for first in (start, start + 50):  # Each window is read in two parts.
            own.read(first, 50)
    assert len(begun) == 1
    own.read(0, 100)
    assert len(begun) == (1 if sizes == [5000] else 2)


def test_what_lies_far_behind_is_forgotten():
    own, _ = reader([10], kept=30)
    own.read(900, 50)
    assert sum(map(len, own._kept)) <= 100


def test_short_pieces_are_joined(monkeypatch):
    monkeypatch.setattr(forward_reader, "BLOCK", 100)
    blocks = list(in_blocks(ALL[start : start + 30] for start in range(0, len(ALL), 30)))
    assert {len(block) for block in blocks[:-1]} == {120}
    assert np.array_equal(np.concatenate(blocks), ALL)
    assert list(in_blocks([])) == []
