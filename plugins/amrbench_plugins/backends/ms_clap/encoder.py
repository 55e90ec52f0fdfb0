"""MS-CLAP 2023 with its published weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from typing_extensions import override

from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.types import Rows
from amrbench_plugins.backends.lazy_encoder import LoadedEncoder, encode_seconds
from amrbench_plugins.backends.model_files import file_hash, refuse_missing_transformers
from amrbench_plugins.backends.ms_clap import gpt2, htsat
from amrbench_plugins.backends.published_weights import (
    axis_size,
    count_numbered,
    load_published_weights,
    tensors_below,
)

_CODE = 2
"""Raised when the same weights give other rows."""
_BATCH = 8
_AUDIO, _TEXT = "audio_encoder.base.htsat.", "caption_encoder.base."
_UNUSED = (
    "relative_position_index", "attn_mask",
    "tscam_conv.weight", "tscam_conv.bias", "head.weight", "head.bias",
)  # fmt: skip


@dataclass(frozen=True)
class MsClap(LoadedEncoder):
    """Audio and text side, with their weights in memory."""

    audio_net: htsat.Htsat
    text_net: gpt2.Gpt2
    files: tuple[Path, ...]

    @override
    @torch.inference_mode()
    def audio(self, waveform: Rows) -> Rows:
        """Return (T, 768): the latent of each whole second alone, as in the published features."""
        width = len(self.audio_net.norm.weight)
        return encode_seconds(waveform, htsat.RATE, batch=_BATCH, width=width, encode=self._rows)

    def _rows(self, seconds: Rows) -> Rows:
        rows: Rows = self.audio_net(torch.from_numpy(seconds)).numpy()
        return rows

    @override
    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return the last hidden states (L, 768) of each sentence, its end mark included."""
        return [self.text_net.states(sentence).numpy() for sentence in sentences]

    @override
    def too_long(self, sentences: Sequence[str]) -> list[str]:
        """Return the sentences of more than 76 tokens; with the end mark, 77 are read."""
        return [sentence for sentence in sentences if self.text_net.is_too_long(sentence)]

    @override
    def fingerprint(self) -> str:
        return f"clap {_CODE} {' '.join(file_hash(path) for path in self.files)}"


def load(weights: Path, vocabulary: Path, merges: Path) -> MsClap:
    """Read the published files.

    Args:
        weights: CLAP_weights_2023.pth.
        vocabulary: vocab.json (or encoder.json) of GPT-2.
        merges: merges.txt (or vocab.bpe) of GPT-2.

    Raises:
        CheckpointError: The weights are damaged, hold code, or are not those of MS-CLAP 2023.
        DataError: The tables cannot be read, or are not those of the weights.
    """
    refuse_missing_transformers("clap")
    tensors = read_checkpoint(weights).weights
    audio_net = _load_audio(tensors_below(tensors, _AUDIO), weights)
    text_net = gpt2.load(tensors_below(tensors, _TEXT), weights, vocabulary, merges)
    return MsClap(audio_net, text_net, (weights, vocabulary, merges))


def _load_audio(tensors: Mapping[str, Tensor], path: Path) -> htsat.Htsat:
    """Return the audio side with the sizes and weights of the tensors."""
    stages = range(count_numbered(tensors, "layers."))
    mel = "logmel_extractor.melW"
    bias = "layers.{}.blocks.0.attn.relative_position_bias_table"
    config = htsat.Config(
        width=axis_size(tensors, "patch_embed.norm.weight", path),
        depths=tuple(count_numbered(tensors, f"layers.{stage}.blocks.") for stage in stages),
        heads=tuple(axis_size(tensors, bias.format(stage), path, axis=1) for stage in stages),
        bands=axis_size(tensors, mel, path, axis=1),
        fft=2 * (axis_size(tensors, mel, path) - 1),
    )
    tensors = {"bn0.num_batches_tracked": torch.zeros(()), **tensors}
    return load_published_weights(htsat.Htsat(config), tensors, path, unused=_UNUSED)
