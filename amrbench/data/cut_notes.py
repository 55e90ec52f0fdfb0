"""Notes about sentences and recordings of which only the beginning is used, because they are too long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amrbench.data.feature_source import FeatureSource
from amrbench.errors import some
from amrbench.notes import note
from amrbench.slots.features import FeatureBackend, cut_sentences
from amrbench.slots.model import Limits

_SHOWN = 40
"""Letters of a sentence in a message."""


def note_cut_split(name: str, source: FeatureSource, limits: Limits) -> None:
    """Issue a note if the limits of a recipe cut sentences of a split, and one if they cut recordings.

    Args:
        name: The annotation file, or what the split is.
        source: Its queries and features.
        limits: Of the recipe.
    """
    note_cut_sentences(name, {query.query: source.text_length(query) for query in source.queries}, limits)
    vids = dict.fromkeys(query.vid for query in source.queries)
    lengths = {vid: source.audio_length(vid) for vid in vids}
    cut = {vid: rows * source.hop for vid, rows in lengths.items() if rows > limits.frames}
    if cut:
        note(
            f"{name}: of {len(cut):,} of {len(lengths):,} recordings the model gets the first "
            f"{limits.frames * source.hop:g} s only ('limits.frames'): "
            f"{some([f'{vid} ({seconds:g} s)' for vid, seconds in cut.items()], 3)}."
        )


def note_cut_sentences(name: str, lengths: Mapping[str, int], limits: Limits) -> None:
    """Issue a note if the limits of a recipe cut sentences.

    Args:
        name: Of the file that they are in, or are asked about.
        lengths: Feature rows of each sentence.
        limits: Of the recipe.
    """
    cut = {sentence: rows for sentence, rows in lengths.items() if rows > limits.words}
    if cut:
        note(
            f"{name}: of {len(cut):,} of {len(lengths):,} sentences the model gets the first {limits.words} "
            "tokens only ('limits.words'): "
            f"{some([f'{shortened(sentence)} ({rows})' for sentence, rows in cut.items()], 3)}."
        )


def note_long_sentences(name: str, sentences: Sequence[str], backend: FeatureBackend) -> None:
    """Issue a note if some of these sentences are longer than the encoder reads; `name` is their source."""
    cut = cut_sentences(backend, sentences)
    if cut:
        note(
            f"{name}: of {len(cut):,} of {len(sentences):,} sentences the encoder {backend.name} reads the "
            f"beginning only, because they have too many tokens: {some(map(shortened, cut), 3)}."
        )


def shortened(sentence: str) -> str:
    """Return a sentence for a message.

    >>> shortened("a dog barks " * 10)
    'a dog barks a dog barks a dog barks a do...'
    """
    return sentence if len(sentence) <= _SHOWN else f"{sentence[:_SHOWN]}..."
