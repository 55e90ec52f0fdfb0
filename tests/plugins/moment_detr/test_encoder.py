"""The transformer encoder of the baseline, and the absence of an encoder."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from amrbench.slots.blocks import Tokens
from tests.plugins.moment_detr import small


def test_the_first_rows_alone_equal_those_of_all() -> None:
    encoder = small.model().encoder
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    tokens = Tokens(torch.randn(2, 5, 16), torch.randn(2, 5, 16), mask)
    with torch.no_grad():
        assert_close(encoder(tokens, first=2), encoder(tokens)[:, :2], atol=1e-6, rtol=0)


def test_without_an_encoder_rows_stay_as_they_are() -> None:
    encoder = small.model(fusion=small.OPTIONS["fusion"] | {"dummy_encoder": "none"}).fusion.dummy_encoder
    tokens = Tokens(torch.randn(2, 5, 16), torch.randn(2, 5, 16), torch.ones(2, 5).bool())
    assert encoder(tokens).equal(tokens.features)
    assert encoder(tokens, first=2).equal(tokens.features[:, :2])
    assert not list(encoder.parameters())
