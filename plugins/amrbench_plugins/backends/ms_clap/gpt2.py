"""The text side of MS-CLAP 2023: GPT-2 (Radford et al. 2019) of transformers with its byte pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from amrbench.errors import DataError
from amrbench_plugins.backends.published_weights import (
    axis_size,
    count_numbered,
    difference,
    load_published_weights,
    refuse_other_vocabulary,
)

END = "<|endoftext|>"
PADDING = "!"
"""A token of its own wherever it stands, because MS-CLAP pads with it."""
PUBLISHED = "vocab.json and merges.txt of GPT-2"
PARAMETERS = 124_439_808
"""Of GPT-2 without a head."""
_LONGEST = 77
"""Tokens of a sentence, its end mark included (configuration of MS-CLAP 2023)."""
_HEAD = 64
"""Width of an attention head in GPT-2; the shapes of the weights do not show it."""
_UNUSED = ("attn.bias", "attn.masked_bias")


@dataclass(frozen=True)
class Gpt2:
    """Sentences to hidden states."""

    tokenizer: Any
    """`tokenizers.Tokenizer`"""
    model: Any
    """`transformers.GPT2Model`"""

    @torch.inference_mode()
    def states(self, sentence: str) -> Tensor:
        """Return (L, D): a state for each token and for the end mark; long sentences are cut at 77 tokens.

        GPT-2 attends to earlier tokens only, so the padding of MS-CLAP changes nothing and is left out.
        """
        ids = torch.tensor([self._encode(sentence).ids])
        states: Tensor = self.model(ids).last_hidden_state[0]
        return states

    def is_too_long(self, sentence: str) -> bool:
        """Whether a sentence is cut."""
        return bool(self._encode(sentence).overflowing)

    def _encode(self, sentence: str) -> Any:
        return self.tokenizer.encode(f"{sentence} {END}")


def load(tensors: Mapping[str, Tensor], weights: Path, vocabulary: Path, merges: Path) -> Gpt2:
    """Return GPT-2 with the sizes and weights of the tensors.

    Args:
        tensors: By their published names.
        weights: Their file, for messages.
        vocabulary: vocab.json (or encoder.json) of GPT-2.
        merges: merges.txt (or vocab.bpe) of GPT-2.

    Raises:
        CheckpointError: The tensors are not those of GPT-2.
        DataError: The tables cannot be read, or are not those of the weights.
    """
    from transformers import GPT2Config, GPT2Model

    width = axis_size(tensors, "wte.weight", weights, axis=1)
    config = GPT2Config(
        vocab_size=axis_size(tensors, "wte.weight", weights),
        n_positions=axis_size(tensors, "wpe.weight", weights),
        n_embd=width,
        n_layer=count_numbered(tensors, "h."),
        n_head=max(1, width // _HEAD),
    )
    model: Any = GPT2Model(config)
    load_published_weights(model, tensors, weights, unused=_UNUSED)
    tokens, pairs = read_tables(vocabulary, merges)
    refuse_other_vocabulary(
        vocabulary, len(tokens), rows=config.vocab_size, weights=weights, published=PUBLISHED
    )
    return Gpt2(byte_pairs(tokens, pairs), model)


def read_tables(vocabulary: Path, merges: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Read the ids of the tokens, and the pairs of tokens that are joined, in this order.

    Raises:
        DataError: A table cannot be read or is none, or the two do not belong together.
    """
    from tokenizers.pre_tokenizers import ByteLevel

    tokens, pairs = _read_tokens(vocabulary), _read_pairs(merges)
    expected = {END, *ByteLevel.alphabet(), *("".join(pair) for pair in pairs)}
    missing, unknown = expected - tokens.keys(), tokens.keys() - expected
    if missing or unknown:
        raise DataError(
            f"{vocabulary}: not the tokens that {merges.name} makes of bytes: "
            f"{difference(sorted(missing), sorted(unknown))}. One of the two is damaged or of another model. "
            f"Get {PUBLISHED}."
        )
    return tokens, pairs


def byte_pairs(tokens: Mapping[str, int], pairs: Sequence[tuple[str, str]]) -> Any:
    """Return the byte-level tokenizer of GPT-2; it gives at most 77 ids."""
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    tokenizer = Tokenizer(BPE(dict(tokens), list(pairs)))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in (END, PADDING)])
    tokenizer.enable_truncation(_LONGEST)
    return tokenizer


def _read_tokens(path: Path) -> dict[str, int]:
    try:
        content: object = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(content, dict) or not {END, PADDING} <= content.keys():
        raise DataError(f"{path}: holds no token ids with {END!r} and {PADDING!r}, as GPT-2's does.")
    unused = set(range(len(content)))
    for token, number in content.items():
        # `in` alone would accept True and 1.0 too.
        if type(number) is not int or number not in unused:
            raise DataError(
                f"{path}: {token!r} has the id {number!r}; ids are the numbers from 0 to "
                f"{len(content) - 1:,}, each once. Get {PUBLISHED}."
            )
        unused.remove(number)
    return content


def _read_pairs(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    pairs = []
    for line in lines:
        if line.strip() and not line.startswith("#version"):
            pair = line.split()
            if len(pair) != 2:
                raise DataError(f"{path}: {' '.join(pair)!r} is no pair of tokens. Get the table of GPT-2.")
            pairs.append((pair[0], pair[1]))
    return pairs


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: cannot be read as a table of GPT-2 ({error}). Get {PUBLISHED}.")
