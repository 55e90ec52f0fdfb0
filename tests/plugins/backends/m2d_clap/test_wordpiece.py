"""WordPiece against the library transformers, and its vocabulary files."""

from __future__ import annotations

import pytest

from amrbench.errors import DataError
from amrbench_plugins.backends.m2d_clap.wordpiece import WordPiece, words
from tests.plugins.backends.published import WORDS

PIECES = WordPiece({word: number for number, word in enumerate(WORDS)})


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
    ids = PIECES.ids(text, 99)
    assert [WORDS[number] for number in ids] == ["[CLS]", *pieces, "[SEP]"]


def test_long_texts_are_cut_before_their_end():
    assert [WORDS[number] for number in PIECES.ids("dog " * 20, 5)] == ["[CLS]", "dog", "dog", "dog", "[SEP]"]


@pytest.mark.parametrize(
    "text",
    [
        "Ein Hündchen bellt; laut!",
        "naïve café—déjà vu",
        "中文 and English",
        "it's 3.5 km/h",
        "a\u00a0b\u3000c \ufffd",
        "ΣΑΣ",
    ],
)
def test_words_are_those_of_the_library(text):
    transformers = pytest.importorskip("transformers")
    basic = transformers.BertTokenizer({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "[MASK]": 4})
    normalised = basic.backend_tokenizer.normalizer.normalize_str(text)
    expected = [word for word, _ in basic.backend_tokenizer.pre_tokenizer.pre_tokenize_str(normalised)]
    assert words(text) == expected


def test_a_file_that_is_no_vocabulary_is_refused(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("a\nb\n")
    with pytest.raises(DataError) as error:
        WordPiece.read(path)
    assert (
        str(error.value) == f"{path}: has no token [CLS], [SEP], [UNK]. Get vocab.txt of bert-base-uncased."
    )
    path.write_text("[CLS]\n[SEP]\n[UNK]\na\n[SEP]\n")
    with pytest.raises(DataError) as error:
        WordPiece.read(path)
    assert (
        str(error.value) == f"{path}: '[SEP]' is on line 2 and on line 5. Get vocab.txt of bert-base-uncased."
    )
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read as a vocabulary"):
        WordPiece.read(path)


def test_only_line_feeds_end_a_token(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[CLS]\n[SEP]\n[UNK]\n\u2028\na\n\n", "utf-8")
    assert WordPiece.read(path).vocabulary["a"] == 4
