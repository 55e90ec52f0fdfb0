"""The text side of MS-CLAP against the library transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from amrbench_plugins.backends.ms_clap import gpt2
from tests.plugins.backends.published import CLAP_TEXT, clap_weights, random


def test_text_is_the_hidden_states_of_an_independent_implementation(encoder):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=CLAP_TEXT.vocabulary, n_positions=90, n_embd=64, n_layer=2, n_head=1, resid_pdrop=0.0
    )
    oracle = transformers.GPT2Model(config).eval()
    prefix = "caption_encoder.base."
    weights = {n.removeprefix(prefix): t for n, t in clap_weights().items() if n.startswith(prefix)}
    oracle.load_state_dict({n: t for n, t in weights.items() if "masked_bias" not in n})
    ids = encoder.words.ids("a dog barks <|endoftext|>")
    padded = torch.zeros(1, 77, dtype=torch.long)
    padded[0, : len(ids)] = torch.tensor(ids)
    mask = (torch.arange(77) < len(ids))[None].long()
    with torch.no_grad():
        expected = oracle(padded, attention_mask=mask).last_hidden_state[0, : len(ids)]
    np.testing.assert_allclose(encoder.text(["a dog barks"])[0], expected.numpy(), atol=1e-5)


def test_several_heads_are_the_formula():
    transformers = pytest.importorskip("transformers")
    net = gpt2.Gpt2(gpt2.Config(width=64, depth=1, heads=4, vocabulary=20, longest=16)).eval()
    net.load_state_dict(random(net.state_dict()))
    config = transformers.GPT2Config(vocab_size=20, n_positions=16, n_embd=64, n_layer=1, n_head=4)
    oracle = transformers.GPT2Model(config).eval()
    oracle.load_state_dict(net.state_dict())
    ids = torch.tensor([[1, 5, 3, 19]])
    with torch.no_grad():
        assert_close(net(ids), oracle(ids).last_hidden_state, atol=1e-5, rtol=1e-5)
