"""BERT against recorded tokens and states, and its vocabulary files."""

from __future__ import annotations

import pytest
from transformers import BertConfig, BertModel

from amrbench.errors import DataError
from amrbench_plugins.backends import bert
from amrbench_plugins.backends.lazy_encoder import count_parameters
from tests.plugins.backends.published import WORDS, bert_names
from tests.plugins.backends.recorded_text import (
    RECORDED,
    TEXTS,
    assert_states_are_recorded,
    weights_by_name,
)

VOCABULARY = {word: number for number, word in enumerate(WORDS)}


@pytest.mark.parametrize(("name", "heads"), [("one-head", 1), ("two-heads", 2)])
def test_states_are_those_recorded(tmp_path, name, heads):
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    names = bert_names(
        40, hidden_size=64 * heads, num_hidden_layers=2, num_attention_heads=heads, intermediate_size=96
    )
    encoder = bert.load(weights_by_name(names), tmp_path / "weights.pth", tmp_path / "vocab.txt", head=64)
    assert_states_are_recorded(encoder, f"bert {name}")


@pytest.mark.parametrize(("text", "ids"), list(zip(TEXTS, RECORDED["bert"], strict=True)))
def test_tokens_are_those_recorded(text, ids):
    assert bert.word_piece(VOCABULARY, 40).encode(text).ids == ids


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("A dog BARKS", ["a", "dog", "bark", "##s"]),
        ("barking!", ["bark", "##ing", "!"]),
        ("Une bête", ["une", "bete"]),
        ("a\u200bdog", ["[UNK]"]),
        ("a\tdog\n", ["a", "dog"]),
        ("雨rain雨", ["雨", "rain", "雨"]),
        ("cats", ["[UNK]"]),
        ("dogs$", ["dog", "##s", "[UNK]"]),
        ("a" * 101, ["[UNK]"]),
        ("", []),
    ],
)
def test_words_become_their_longest_known_pieces(text, pieces):
    assert bert.word_piece(VOCABULARY, 99).encode(text).tokens == ["[CLS]", *pieces, "[SEP]"]


def test_long_texts_are_cut_before_their_end():
    tokens = bert.word_piece(VOCABULARY, 5).encode("dog " * 20).tokens
    assert tokens == ["[CLS]", "dog", "dog", "dog", "[SEP]"]
    text = bert.Bert(bert.word_piece(VOCABULARY, 5), None)
    assert [text.is_too_long("dog " * count) for count in (3, 4)] == [False, True]


def test_the_number_of_parameters_is_that_of_the_published_model():
    assert count_parameters(lambda: BertModel(BertConfig(), add_pooling_layer=False)) == bert.PARAMETERS


def test_a_file_that_is_no_vocabulary_is_refused(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("a\nb\n")
    with pytest.raises(DataError) as error:
        bert.read_vocabulary(path)
    assert (
        str(error.value) == f"{path}: has no token [CLS], [SEP], [UNK]. Get vocab.txt of bert-base-uncased."
    )
    path.write_text("[CLS]\n[SEP]\n[UNK]\na\n[SEP]\n")
    with pytest.raises(DataError) as error:
        bert.read_vocabulary(path)
    assert (
        str(error.value) == f"{path}: '[SEP]' is on line 2 and on line 5. Get vocab.txt of bert-base-uncased."
    )
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read as a vocabulary"):
        bert.read_vocabulary(path)


def test_only_line_feeds_end_a_token(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[CLS]\n[SEP]\n[UNK]\n\u2028\na\n\n", "utf-8")
    assert bert.read_vocabulary(path)["a"] == 4
