"""WordPiece, as BERT's uncased models use it (Devlin et al. 2019; Wu et al. 2016)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from amrbench.errors import DataError

CLS, SEP, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
PUBLISHED = "vocab.txt of bert-base-uncased"
_LONGEST_WORD = 100
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class WordPiece:
    """Text to token ids."""

    def __init__(self, vocabulary: dict[str, int]) -> None:
        self.vocabulary = vocabulary

    @classmethod
    def read(cls, path: Path) -> WordPiece:
        """Read vocab.txt: a token on each line, whose number is its id.

        Raises:
            DataError: The file cannot be read, has a token twice, or lacks one that every text needs.
        """
        try:
            # Only line feeds end a token; `splitlines` would also divide at rarer letters.
            lines = path.read_text("utf-8").rstrip("\n").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read as a vocabulary ({error}).") from error
        vocabulary: dict[str, int] = {}
        for number, token in enumerate(lines):
            first = vocabulary.setdefault(token, number)
            if first != number:
                raise DataError(
                    f"{path}: {token!r} is on line {first + 1} and on line {number + 1}. Get {PUBLISHED}."
                )
        missing = [token for token in (CLS, SEP, UNKNOWN) if token not in vocabulary]
        if missing:
            raise DataError(f"{path}: has no token {', '.join(missing)}. Get {PUBLISHED}.")
        return cls(vocabulary)

    def ids(self, text: str, longest: int) -> list[int]:
        """Return the ids of a text between its two end tokens, at most `longest` in all."""
        inner = [self.vocabulary[piece] for word in words(text) for piece in self.pieces(word)]
        return [self.vocabulary[CLS], *inner[: longest - 2], self.vocabulary[SEP]]

    def pieces(self, word: str) -> list[str]:
        """Return the longest known pieces of a word from left to right; an unknown word is one token."""
        if len(word) > _LONGEST_WORD:
            return [UNKNOWN]
        pieces, start = [], 0
        while start < len(word):
            piece = self._longest(word, start)
            if piece is None:
                return [UNKNOWN]
            pieces.append(piece)
            start += len(piece.removeprefix("##")) if start else len(piece)
        return pieces

    def _longest(self, word: str, start: int) -> str | None:
        mark = "##" if start else ""
        ends = range(len(word), start, -1)
        return next(
            (mark + word[start:end] for end in ends if mark + word[start:end] in self.vocabulary), None
        )


def words(text: str) -> list[str]:
    """Return lower-case words without accents; punctuation and ideographs stand alone."""
    spaced = "".join(_spaced(letter) for letter in text if not _dropped(letter))
    # Letter by letter, as the library does it: whole words have letters that differ at their ends.
    plain = unicodedata.normalize("NFD", "".join(letter.lower() for letter in spaced))
    kept = "".join(letter for letter in plain if unicodedata.category(letter) != "Mn")
    return [part for word in kept.split() for part in _parted(word)]


def _parted(word: str) -> Iterator[str]:
    current = ""
    for letter in word:
        if _is_punctuation(letter):
            yield from [current] * bool(current)
            yield letter
            current = ""
        else:
            current += letter
    yield from [current] * bool(current)


def _spaced(letter: str) -> str:
    code = ord(letter)
    if any(first <= code <= last for first, last in _IDEOGRAPHS):
        return f" {letter} "
    return " " if letter.isspace() or unicodedata.category(letter) == "Zs" else letter


def _dropped(letter: str) -> bool:
    if letter in "\t\n\r":
        return False
    return letter in "\0\ufffd" or unicodedata.category(letter).startswith("C")


def _is_punctuation(letter: str) -> bool:
    code = ord(letter)
    # BERT counts all of ASCII's symbols as punctuation, also those that Unicode calls otherwise.
    ascii_symbol = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_symbol or unicodedata.category(letter).startswith("P")
