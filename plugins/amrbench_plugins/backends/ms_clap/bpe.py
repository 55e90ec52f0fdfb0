"""Byte-level byte-pair encoding, as GPT-2 uses it (Radford et al. 2019)."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from amrbench.errors import DataError, some

END = "<|endoftext|>"
PADDING = "!"
PUBLISHED = "vocab.json and merges.txt of GPT-2"
_SPECIAL = re.compile(f"({re.escape(END)}|{re.escape(PADDING)})")
_SHORT = re.compile(r"'(?:s|t|re|ve|m|ll|d)")
_PART = re.compile(r"b?(?:L+|N+|O+)|[bs]+(?![LNO])|[bs]+")
"""Over kinds of letters, see `_kind`: words, numbers and other marks, each with a blank before it."""


class BytePairs:
    """Text to token ids."""

    def __init__(self, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
        self.vocabulary = vocabulary
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.letters = byte_letters()

    @classmethod
    def read(cls, vocabulary: Path, merges: Path) -> BytePairs:
        """Read the two tables.

        Raises:
            DataError: A table cannot be read or is none, or the two do not belong together.
        """
        tokens, pairs = _tokens(vocabulary), _pairs(merges)
        made = [END, *byte_letters(), *("".join(pair) for pair in pairs)]
        missing, unknown = set(made) - tokens.keys(), tokens.keys() - set(made)
        if missing or unknown:
            faults = [f"without {some(sorted(missing), 3)}"] * bool(missing)
            faults += [f"with {some(sorted(unknown), 3)}"] * bool(unknown)
            raise DataError(
                f"{vocabulary}: not the tokens that {merges.name} makes of bytes: {' and '.join(faults)}. "
                f"One of the two is damaged or of another model. Get {PUBLISHED}."
            )
        return cls(tokens, pairs)

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text; the end mark and '!' are tokens of their own wherever they stand."""
        pieces = (piece for piece in _SPECIAL.split(text) if piece)
        return [number for piece in pieces for number in self._piece(piece)]

    def _piece(self, piece: str) -> Iterator[int]:
        if _SPECIAL.fullmatch(piece):
            yield self.vocabulary[piece]
            return
        for part in parts(piece):
            letters = "".join(self.letters[byte] for byte in part.encode("utf-8"))
            yield from (self.vocabulary[token] for token in self.merged(letters))

    def merged(self, letters: str) -> list[str]:
        """Return the tokens of one part: neighbours are joined, those first that stand first in the table."""
        tokens = list(letters)
        while len(tokens) > 1:
            pairs = list(pairwise(tokens))
            best = min(pairs, key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            tokens = _joined(tokens, best)
        return tokens


def parts(text: str) -> list[str]:
    """Return the parts of a text that are encoded one by one; together they are the text."""
    kinds = "".join(map(_kind, text))
    chunks, at = [], 0
    while at < len(text):
        match = _SHORT.match(text, at) or _PART.match(kinds, at)
        end = match.end() if match else at + 1
        chunks.append(text[at:end])
        at = end
    return chunks


def byte_letters() -> list[str]:
    """Return the letter that stands for each byte: itself where it can be seen, others from 256 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return [chr(byte) if byte in seen else chr(next(hidden)) for byte in range(256)]


def _tokens(path: Path) -> dict[str, int]:
    try:
        content: object = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(content, dict) or not {END, PADDING} <= content.keys():
        raise DataError(f"{path}: holds no token ids with {END!r} and {PADDING!r}, as GPT-2's does.")
    tokens: dict[str, int] = {}
    free = set(range(len(content)))
    for token, number in content.items():
        # True and 1.0 are found among integers too.
        if type(number) is not int or number not in free:
            raise DataError(
                f"{path}: {token!r} has the id {number!r}; ids are the numbers from 0 to "
                f"{len(content) - 1:,}, each once. Get {PUBLISHED}."
            )
        free.remove(number)
        tokens[token] = number
    return tokens


def _pairs(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    pairs = [line.split() for line in lines if line.strip() and not line.startswith("#version")]
    wrong = next((pair for pair in pairs if len(pair) != 2), None)
    if wrong is not None:
        raise DataError(f"{path}: {' '.join(wrong)!r} is no pair of tokens. Get the table of GPT-2.")
    return [(first, second) for first, second in pairs]


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: cannot be read as a table of GPT-2 ({error}). Get {PUBLISHED}.")


def _joined(tokens: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    at = 0
    while at < len(tokens):
        if tuple(tokens[at : at + 2]) == pair:
            joined.append("".join(pair))
            at += 2
        else:
            joined.append(tokens[at])
            at += 1
    return joined


def _kind(letter: str) -> str:
    """Return L for letters, N for numbers, b for the blank, s for other white space, O for the rest."""
    if letter == " ":
        return "b"
    if letter.isspace() and letter not in "\x1c\x1d\x1e\x1f":
        return "s"
    category = unicodedata.category(letter)[0]
    return category if category in "LN" else "O"
