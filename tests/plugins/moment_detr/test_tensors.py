"""Tensors that are made on request."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from amrbench_plugins.moment_detr.tensors import LazyTensors


def test_lazy_tensors_are_made_once_and_together() -> None:
    calls = []

    def make() -> dict[str, Tensor]:
        calls.append("made")
        return {"b": torch.ones(1), "c": torch.ones(2)}

    lazy = LazyTensors({"a": torch.zeros(1)}, {"b": make, "c": make})
    assert (sorted(lazy), len(lazy), calls) == (["a", "b", "c"], 3, [])
    assert "c" in lazy
    assert [len(lazy[name]) for name in ("b", "c", "a")] == [1, 2, 1]
    assert calls == ["made"]
    with pytest.raises(KeyError):
        lazy["d"]
