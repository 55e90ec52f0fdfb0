"""M2D-CLAP 2025 with its published weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from amrbench.errors import CheckpointError
from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench_plugins.backends.filling import below, count_of, fill, refuse_other_words, width_of
from amrbench_plugins.backends.lazy_encoder import Rows, seconds_of
from amrbench_plugins.backends.m2d_clap import bert, vit
from amrbench_plugins.backends.m2d_clap.wordpiece import PUBLISHED, WordPiece
from amrbench_plugins.backends.model_files import file_hash

Text = Literal["sentence", "tokens"]
_CODE = 1
"""Raised when the same weights give other rows."""
_BATCH = 16
_HEAD = 64
"""Width of an attention head in ViT-B and BERT-base; shapes do not tell the number of heads."""
_IN_TRAINING = "module.ar.runtime.backbone."
_TEXT = "text_encoder.text_encoder."


@dataclass(frozen=True)
class M2dClap:
    """The encoders, with their weights in memory."""

    audio_net: vit.AudioEncoder
    text_net: bert.Bert
    words: WordPiece
    longest: int
    text_form: Text
    files: tuple[Path, ...]

    @torch.inference_mode()
    def audio(self, waveform: Rows) -> Rows:
        """Return (T, 768): each whole second alone, as the report's team extracts it."""
        seconds = torch.from_numpy(seconds_of(np.ascontiguousarray(waveform, np.float32), vit.RATE))
        rows = [self.audio_net(seconds[at : at + _BATCH]) for at in range(0, len(seconds), _BATCH)]
        found: Rows = torch.cat([torch.zeros(0, self.audio_net.pos_embed.shape[2]), *rows]).numpy()
        return found

    @torch.inference_mode()
    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return (1, 768) for each sentence, or the sentence and its tokens (1 + L, 768)."""
        return [self._text(each) for each in sentences]

    def fingerprint(self) -> str:
        """Return a hash of the files and of how they are used."""
        return f"m2d-clap {_CODE} {self.text_form} {' '.join(file_hash(path) for path in self.files)}"

    def _text(self, sentence: str) -> Rows:
        states = self.text_net(torch.tensor([self.words.ids(sentence, self.longest)]))[0]
        # The first state stands for the sentence; the last one ends it and says nothing.
        kept = states[:1] if self.text_form == "sentence" else states[:-1]
        found: Rows = kept.numpy()
        return found


def load(weights: Path, vocabulary: Path, text_form: Text) -> M2dClap:
    """Read the published files.

    Args:
        weights: checkpoint-30.pth.
        vocabulary: vocab.txt of bert-base-uncased.
        text_form: What `text` gives.

    Raises:
        CheckpointError: The weights are damaged, hold code, or are not those of M2D-CLAP 2025.
        DataError: The vocabulary cannot be read, or is not that of the weights.
    """
    tensors = {
        name.removeprefix(_IN_TRAINING): each
        for name, each in read_checkpoint(weights, allow=("argparse.Namespace",), bare=True).weights.items()
    }
    audio, text = below(tensors, "backbone."), below(tensors, _TEXT)
    if not text:
        raise CheckpointError(
            f"{weights}: holds no text encoder ({_TEXT}...). Get the file of 2025, whose name ends in TI."
        )
    text_sizes, words = _text_sizes(text, weights), WordPiece.read(vocabulary)
    rows, other = text_sizes.vocabulary, f"{PUBLISHED}, not that of a cased model"
    refuse_other_words(vocabulary, len(words.vocabulary), rows=rows, weights=weights, published=other)
    return M2dClap(
        fill_audio(audio or _bare_audio(tensors), weights),
        fill_text(text, text_sizes, weights),
        words,
        text_sizes.longest,
        text_form,
        (weights, vocabulary),
    )


def fill_audio(tensors: Mapping[str, Tensor], path: Path) -> vit.AudioEncoder:
    """Return the audio side with the sizes that the tensors have."""
    width = width_of(tensors, "cls_token", path, place=2)
    sizes = vit.Sizes(
        width=width,
        depth=count_of(tensors, "blocks."),
        heads=max(1, width // _HEAD),
        mlp=width_of(tensors, "blocks.0.mlp.fc1.weight", path),
        patch=width_of(tensors, "patch_embed.proj.weight", path, place=2),
        places=width_of(tensors, "pos_embed", path, place=1) - 1,
        semantic_depth=count_of(tensors, "audio_proj.sem_blocks."),
        semantic_mlp=width_of(tensors, "audio_proj.sem_blocks.0.mlp.fc1.weight", path),
    )
    net = vit.AudioEncoder(sizes)
    # Files without these numbers were trained with the ones that the module has.
    fill(net, {"norm_stats": net.norm_stats, **tensors}, path)
    return net


def fill_text(tensors: Mapping[str, Tensor], sizes: bert.Sizes, path: Path) -> bert.Bert:
    """Return the text side."""
    net = bert.Bert(sizes)
    fill(net, tensors, path, idle=("pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids"))
    return net


def _text_sizes(tensors: Mapping[str, Tensor], path: Path) -> bert.Sizes:
    words = "embeddings.word_embeddings.weight"
    width = width_of(tensors, words, path, place=1)
    return bert.Sizes(
        width=width,
        depth=count_of(tensors, "encoder.layer."),
        heads=max(1, width // _HEAD),
        mlp=width_of(tensors, "encoder.layer.0.intermediate.dense.weight", path),
        vocabulary=width_of(tensors, words, path),
        longest=width_of(tensors, "embeddings.position_embeddings.weight", path),
    )


def _bare_audio(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: each for name, each in tensors.items() if not name.startswith(_TEXT)}
