"""MS-CLAP 2023 with its published weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.types import Rows
from amrbench_plugins.backends.lazy_encoder import LoadedEncoder, whole_seconds
from amrbench_plugins.backends.model_files import file_hash
from amrbench_plugins.backends.ms_clap import gpt2, htsat
from amrbench_plugins.backends.ms_clap.bpe import END, PUBLISHED, BytePairs
from amrbench_plugins.backends.published_weights import (
    axis_size,
    count_numbered,
    load_published_weights,
    refuse_other_vocabulary,
    tensors_below,
)

_CODE = 1
"""Raised when the same weights give other rows."""
_BATCH = 8
_LONGEST = 77
_HEAD = 64
"""Width of an attention head in GPT-2; the shapes of the weights do not show it."""
_AUDIO, _TEXT = "audio_encoder.base.htsat.", "caption_encoder.base."
_UNUSED_AUDIO = (
    "relative_position_index", "attn_mask",
    "tscam_conv.weight", "tscam_conv.bias", "head.weight", "head.bias",
)  # fmt: skip
_UNUSED_TEXT = ("attn.bias", "attn.masked_bias")


@dataclass(frozen=True)
class MsClap(LoadedEncoder):
    """Audio and text side, with their weights in memory."""

    audio_net: htsat.Htsat
    text_net: gpt2.Gpt2
    words: BytePairs
    files: tuple[Path, ...]

    @override
    @torch.inference_mode()
    def audio(self, waveform: Rows) -> Rows:
        """Return (T, 768): the latent of each whole second alone, as in the published features."""
        seconds = torch.from_numpy(whole_seconds(np.ascontiguousarray(waveform, np.float32), htsat.RATE))
        starts = range(0, len(seconds), _BATCH)
        batches = [self.audio_net(seconds[start : start + _BATCH]) for start in starts]
        rows: Rows = torch.cat([torch.zeros(0, len(self.audio_net.norm.weight)), *batches]).numpy()
        return rows

    @override
    @torch.inference_mode()
    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return the last hidden states (L, 768) of each sentence, its end mark included."""
        return [self._rows(sentence) for sentence in sentences]

    @override
    def fingerprint(self) -> str:
        return f"clap {_CODE} {' '.join(file_hash(path) for path in self.files)}"

    def _rows(self, sentence: str) -> Rows:
        # GPT-2 attends to earlier tokens only, so the padding at the end changes nothing and is left out.
        ids = self.words.ids(f"{sentence} {END}")[:_LONGEST]
        rows: Rows = self.text_net(torch.tensor([ids]))[0].numpy()
        return rows


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
    tensors = read_checkpoint(weights).weights
    audio_net = _load_audio(tensors_below(tensors, _AUDIO), weights)
    text_net, words = _load_text(tensors_below(tensors, _TEXT), weights), BytePairs.read(vocabulary, merges)
    rows = text_net.wte.num_embeddings
    refuse_other_vocabulary(
        vocabulary, len(words.vocabulary), rows=rows, weights=weights, published=PUBLISHED
    )
    return MsClap(audio_net, text_net, words, (weights, vocabulary, merges))


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
    return load_published_weights(htsat.Htsat(config), tensors, path, unused=_UNUSED_AUDIO)


def _load_text(tensors: Mapping[str, Tensor], path: Path) -> gpt2.Gpt2:
    """Return the text side with the sizes and weights of the tensors."""
    width = axis_size(tensors, "wte.weight", path, axis=1)
    config = gpt2.Config(
        width=width,
        depth=count_numbered(tensors, "h."),
        heads=max(1, width // _HEAD),
        vocabulary=axis_size(tensors, "wte.weight", path),
        longest=axis_size(tensors, "wpe.weight", path),
    )
    return load_published_weights(gpt2.Gpt2(config), tensors, path, unused=_UNUSED_TEXT)
