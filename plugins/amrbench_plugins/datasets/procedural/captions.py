"""Sentences about procedural sounds: several wordings for the same event."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from amrbench_plugins.datasets.procedural.dsp import Rng
from amrbench_plugins.datasets.procedural.lexicon import BARE, FAR, LEXICON, NEAR, WHILE, Lexicon

_NOUN_PROBABILITY = 0.35
"""How often the value stands before a noun and not in a clause."""


class Wording(Enum):
    """How a sentence names its sound."""

    BARE = "bare"
    """The class alone."""
    VALUE = "value"
    """The class and the value of its attribute."""
    UNSEEN = "unseen"
    """As `VALUE`, in the clause that no training caption uses."""


@dataclass(frozen=True)
class Subject:
    """What a sentence is about: a class, the value (0 or 1) of its attribute, and its distance."""

    sound: str
    value: int
    far: bool


def _choice(rng: Rng, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def phrase(
    rng: Rng, subject: Subject, *, wording: Wording, distance: bool, lexicon: Lexicon = LEXICON
) -> str:
    """Return a lower-case phrase without a full stop; `distance` says whether it names near or far."""
    words = lexicon[subject.sound]
    if wording is Wording.BARE:
        text = _choice(rng, BARE).format(_choice(rng, words.nouns))
    else:
        value = _choice(rng, words.values[subject.value])
        if wording is Wording.UNSEEN:
            text = words.unseen.format(a=value)
        # The values of a voice are nouns themselves ("woman").
        elif rng.random() < _NOUN_PROBABILITY and subject.sound != "voice":
            text = f"{value} {_choice(rng, words.nouns)}"
        else:
            text = _choice(rng, words.clauses).format(a=value)
    text = re.sub(r"\ba (?=[aeiou])", "an ", text)
    return f"{text} {_choice(rng, FAR if subject.far else NEAR)}" if distance else text


def finish(rng: Rng, text: str) -> str:
    """Return the phrase with a capital and, in half of the cases, a full stop."""
    return text[0].upper() + text[1:] + ("." if rng.random() < 0.5 else "")


def meanwhile(rng: Rng, first: str, second: str) -> str:
    """Join the phrases of two sounds at the same time."""
    return first + _choice(rng, WHILE) + second
