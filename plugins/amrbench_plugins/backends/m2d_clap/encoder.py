"""M2D-CLAP 2025 with its published weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import override

from amrbench.errors import CheckpointError
from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.types import Rows
from amrbench_plugins.backends import bert
from amrbench_plugins.backends.lazy_encoder import LoadedEncoder, encode_seconds
from amrbench_plugins.backends.m2d_clap import vit
from amrbench_plugins.backends.model_files import file_hash, refuse_missing_transformers
from amrbench_plugins.backends.published_weights import (
    axis_size,
    count_numbered,
    load_published_weights,
    tensors_below,
)

Text = Literal["sentence", "tokens"]
_CODE = 2
"""Raised when the same weights give other rows."""
_BATCH = 16
_HEAD = 64
"""Width of an attention head in ViT-B and in BERT-base; the shapes of the weights do not show it."""
_IN_TRAINING = "module.ar.runtime.backbone."
_TEXT = "text_encoder.text_encoder."


@dataclass(frozen=True)
class M2dClap(LoadedEncoder):
    """Audio and text side, with their weights in memory."""

    audio_net: vit.AudioEncoder
    text_net: bert.Bert
    text_form: Text
    files: tuple[Path, ...]

    @override
    @torch.inference_mode()
    def audio(self, waveform: Rows) -> Rows:
        """Return (T, 768): each whole second alone, as the report's team extracts it."""
        width = self.audio_net.pos_embed.shape[2]
        return encode_seconds(waveform, vit.RATE, batch=_BATCH, width=width, encode=self._rows)

    def _rows(self, seconds: Rows) -> Rows:
        rows: Rows = self.audio_net(torch.from_numpy(seconds)).numpy()
        return rows

    @override
    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return (1, 768) for each sentence, or the sentence and its tokens (1 + L, 768)."""
        states = [self.text_net.states(sentence).numpy() for sentence in sentences]
        # The first state stands for the sentence; the last one belongs to the end mark.
        return [rows[:1] if self.text_form == "sentence" else rows[:-1] for rows in states]

    @override
    def too_long(self, sentences: Sequence[str]) -> list[str]:
        return [sentence for sentence in sentences if self.text_net.is_too_long(sentence)]

    @override
    def fingerprint(self) -> str:
        return f"m2d-clap {_CODE} {self.text_form} {' '.join(file_hash(path) for path in self.files)}"


def load(weights: Path, vocabulary: Path, text_form: Text) -> M2dClap:
    """Read the published files.

    Args:
        weights: checkpoint-30.pth.
        vocabulary: vocab.txt of bert-base-uncased.
        text_form: Which rows `text` gives.

    Raises:
        CheckpointError: The weights are damaged, hold code, or are not those of M2D-CLAP 2025.
        DataError: The vocabulary cannot be read, or is not that of the weights.
    """
    refuse_missing_transformers("m2d-clap")
    tensors = {
        name.removeprefix(_IN_TRAINING): tensor
        for name, tensor in read_checkpoint(weights, bare=True).weights.items()
    }
    audio, text = tensors_below(tensors, "backbone."), tensors_below(tensors, _TEXT)
    if not text:
        raise CheckpointError(
            f"{weights}: holds no text encoder ({_TEXT}...). Get the file of 2025, whose name ends in TI."
        )
    # Some files hold the audio side without a prefix.
    audio = audio or {name: tensor for name, tensor in tensors.items() if not name.startswith(_TEXT)}
    text_net = bert.load(text, weights, vocabulary, head=_HEAD)
    return M2dClap(load_audio(audio, weights), text_net, text_form, (weights, vocabulary))


def load_audio(tensors: Mapping[str, Tensor], path: Path) -> vit.AudioEncoder:
    """Return the audio side with the sizes and weights of the tensors."""
    width = axis_size(tensors, "cls_token", path, axis=2)
    config = vit.Config(
        width=width,
        depth=count_numbered(tensors, "blocks."),
        heads=max(1, width // _HEAD),
        mlp=axis_size(tensors, "blocks.0.mlp.fc1.weight", path),
        patch=axis_size(tensors, "patch_embed.proj.weight", path, axis=2),
        positions=axis_size(tensors, "pos_embed", path, axis=1) - 1,
        semantic_depth=count_numbered(tensors, "audio_proj.sem_blocks."),
        semantic_mlp=axis_size(tensors, "audio_proj.sem_blocks.0.mlp.fc1.weight", path),
    )
    net = vit.AudioEncoder(config)
    # Files without these numbers were trained with the module's own.
    return load_published_weights(net, {"norm_stats": net.norm_stats, **tensors}, path)
