"""The text side of M2D-CLAP against the library transformers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from amrbench_plugins.backends.m2d_clap import bert
from tests.plugins.backends.published import M2D_TEXT, WORDS, m2d_weights, random


def test_bert_is_the_formula(encoder):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=64, num_hidden_layers=2, num_attention_heads=1,
        intermediate_size=96, max_position_embeddings=12,
    )  # fmt: skip
    oracle = transformers.BertModel(config, add_pooling_layer=False).eval()
    prefix = "text_encoder.text_encoder."
    weights = {n.removeprefix(prefix): t for n, t in m2d_weights().items() if n.startswith(prefix)}
    oracle.load_state_dict({n: t for n, t in weights.items() if not n.startswith("pooler")})
    ids = torch.tensor([[2, 4, 5, 6, 7, 3]])
    with torch.no_grad():
        expected = oracle(ids, torch.ones_like(ids)).last_hidden_state[0]
    assert encoder.words.ids("a dog barks", 12) == ids[0].tolist()
    np.testing.assert_allclose(encoder.text(["a dog barks"])[0], expected[:1].numpy(), atol=1e-5)


def test_bert_with_several_heads_is_the_formula():
    transformers = pytest.importorskip("transformers")
    config = replace(M2D_TEXT, heads=4)
    net = bert.Bert(config).eval()
    net.load_state_dict(random(net.state_dict()))
    library_config = transformers.BertConfig(
        vocab_size=config.vocabulary, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=96, max_position_embeddings=12,
    )  # fmt: skip
    oracle = transformers.BertModel(library_config, add_pooling_layer=False).eval()
    oracle.load_state_dict(net.state_dict())
    ids = torch.tensor([[2, 4, 5, 3], [2, 9, 10, 3]])
    with torch.no_grad():
        assert_close(net(ids), oracle(ids, torch.ones_like(ids)).last_hidden_state, atol=1e-5, rtol=1e-5)
