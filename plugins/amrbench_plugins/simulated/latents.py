"""What sentences mean, as vectors: the data set hides them in recordings, the encoder finds them in words."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from amrbench.content_hash import seed_from
from amrbench.types import Rows

SIZE = 96
"""Numbers of a latent vector."""
_STEM = 5
"""Letters of a word that count, so that "whistles" and "whistling" mean the same."""
_FUNCTION_WORDS = frozenset(
    [
        *(
            "a",
            "an",
            "and",
            "are",
            "as",
            "at",
            "by",
            "for",
            "from",
            "in",
            "is",
            "it",
            "its",
            "of",
            "on",
            "or",
        ),
        *("someone", "something", "that", "the", "then", "to", "while", "with"),
    ]
)


def words_of(sentence: str) -> list[str]:
    """Return the words of a sentence in lower case, or one empty word if it has none."""
    return re.findall(r"\w+", sentence.lower()) or [""]


@lru_cache(maxsize=1 << 15)
def word_latent(word: str) -> Rows:
    """Return (SIZE,) of length one; equal for words with the same first letters."""
    return unit(np.random.default_rng(seed_from("word", word[:_STEM])))


def sentence_latent(sentence: str) -> Rows:
    """Return (SIZE,) of length one: the sum of its words without function words, normalised."""
    words = words_of(sentence)
    meaningful = [word for word in words if word not in _FUNCTION_WORDS] or words
    total = np.sum([word_latent(word) for word in meaningful], axis=0)
    return np.asarray(total / np.linalg.norm(total), np.float32)


def unit(rng: np.random.Generator) -> Rows:
    """Return a random direction (SIZE,) of length one."""
    vector = rng.standard_normal(SIZE)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)
