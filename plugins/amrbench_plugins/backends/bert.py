"""BERT (Devlin et al. 2019) of transformers with its WordPiece, the text side of several encoders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from amrbench.errors import DataError
from amrbench_plugins.backends.published_weights import (
    axis_size,
    count_numbered,
    load_published_weights,
    refuse_other_vocabulary,
)

CLS, SEP, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
PUBLISHED = "vocab.txt of bert-base-uncased"
PARAMETERS = 108_891_648
"""Of bert-base-uncased without its pooler."""
_LONGEST_WORD = 100
"""Letters; a longer word is one unknown token."""
_UNUSED = ("pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids")


@dataclass(frozen=True)
class Bert:
    """Sentences to hidden states."""

    tokenizer: Any
    """`tokenizers.Tokenizer`"""
    model: Any
    """`transformers.BertModel`"""

    @torch.inference_mode()
    def states(self, sentence: str) -> Tensor:
        """Return (L, D): states of [CLS], the tokens and [SEP]; long sentences lose their last tokens."""
        ids = torch.tensor([self.tokenizer.encode(sentence).ids])
        states: Tensor = self.model(ids).last_hidden_state[0]
        return states

    def is_too_long(self, sentence: str) -> bool:
        """Whether a sentence loses its last tokens."""
        return bool(self.tokenizer.encode(sentence).overflowing)


def load(tensors: Mapping[str, Tensor], weights: Path, vocabulary: Path, *, head: int) -> Bert:
    """Return BERT with the sizes and weights of the tensors.

    Args:
        tensors: By their published names.
        weights: Their file, for messages.
        vocabulary: vocab.txt of bert-base-uncased.
        head: Width of an attention head; the shapes of the weights do not show it.

    Raises:
        CheckpointError: The tensors are not those of BERT.
        DataError: The vocabulary cannot be read, or is not that of the weights.
    """
    from transformers import BertConfig, BertModel

    words = "embeddings.word_embeddings.weight"
    width = axis_size(tensors, words, weights, axis=1)
    config = BertConfig(
        vocab_size=axis_size(tensors, words, weights),
        hidden_size=width,
        num_hidden_layers=count_numbered(tensors, "encoder.layer."),
        num_attention_heads=max(1, width // head),
        intermediate_size=axis_size(tensors, "encoder.layer.0.intermediate.dense.weight", weights),
        max_position_embeddings=axis_size(tensors, "embeddings.position_embeddings.weight", weights),
    )
    tokens = read_vocabulary(vocabulary)
    refuse_other_vocabulary(
        vocabulary,
        len(tokens),
        rows=config.vocab_size,
        weights=weights,
        published=f"{PUBLISHED}, not that of a cased model",
    )
    model: Any = BertModel(config, add_pooling_layer=False)
    load_published_weights(model, tensors, weights, unused=_UNUSED)
    return Bert(word_piece(tokens, config.max_position_embeddings), model)


def read_vocabulary(path: Path) -> dict[str, int]:
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
    return vocabulary


def word_piece(vocabulary: Mapping[str, int], longest: int) -> Any:
    """Return the uncased tokenizer of BERT; it gives at most `longest` ids for a sentence."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import BertProcessing

    model = WordPiece(dict(vocabulary), unk_token=UNKNOWN, max_input_chars_per_word=_LONGEST_WORD)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing((SEP, vocabulary[SEP]), (CLS, vocabulary[CLS]))
    tokenizer.enable_truncation(longest)
    return tokenizer
