"""The frames inside a moment and those outside do not see each other."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from amrbench.slots.blocks import Tokens
from tests.plugins.cgdetr import golden

NEAR = {"atol": 1e-5, "rtol": 0.0}


def test_neither_side_sees_the_other() -> None:
    encoder = golden.ours().reference.loss.encoder
    width = encoder.token.shape[0]
    relevant = torch.tensor([[True, True, False, False, False]])
    rows = torch.randn(1, 5, width)
    changed = torch.where(relevant[..., None], rows, rows + 1)
    mask = torch.ones(1, 5, dtype=torch.bool)
    with torch.no_grad():
        plain, other = (encoder(Tokens(x, torch.zeros_like(x), mask), relevant) for x in (rows, changed))
    assert_close(plain.inside, other.inside, **NEAR)
    assert_close(plain.frames[:, :2], other.frames[:, :2], **NEAR)
    assert float((plain.outside - other.outside).abs().max()) > 1e-3
    assert float((plain.frames[:, 2:] - other.frames[:, 2:]).abs().max()) > 1e-3
