"""MS-CLAP 2023 with its published weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench_plugins.backends.filling import below, count_of, fill, refuse_other_words, width_of
from amrbench_plugins.backends.lazy_encoder import Rows, seconds_of
from amrbench_plugins.backends.model_files import file_hash
from amrbench_plugins.backends.ms_clap import gpt2, htsat
from amrbench_plugins.backends.ms_clap.bpe import END, PUBLISHED, BytePairs

_CODE = 1
"""Raised when the same weights give other rows."""
_BATCH = 8
_LONGEST = 77
_HEAD = 64
"""Width of an attention head in GPT-2; shapes do not tell the number of heads."""
_AUDIO, _TEXT = "audio_encoder.base.htsat.", "caption_encoder.base."
_IDLE_AUDIO = (
    "relative_position_index", "attn_mask",
    "tscam_conv.weight", "tscam_conv.bias", "head.weight", "head.bias",
)  # fmt: skip
_IDLE_TEXT = ("attn.bias", "attn.masked_bias")


@dataclass(frozen=True)
class MsClap:
    """The encoders, with their weights in memory."""

    audio_net: htsat.Htsat
    text_net: gpt2.Gpt2
    words: BytePairs
    files: tuple[Path, ...]

    @torch.inference_mode()
    def audio(self, waveform: Rows) -> Rows:
        """Return (T, 768): the latent of each whole second alone, as the published features have it."""
        seconds = torch.from_numpy(seconds_of(np.ascontiguousarray(waveform, np.float32), htsat.RATE))
        rows = [self.audio_net(seconds[at : at + _BATCH]) for at in range(0, len(seconds), _BATCH)]
        found: Rows = torch.cat([torch.zeros(0, len(self.audio_net.norm.weight)), *rows]).numpy()
        return found

    @torch.inference_mode()
    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return the last hidden states (L, 768) of each sentence, its end mark included."""
        return [self._text(each) for each in sentences]

    def fingerprint(self) -> str:
        """Return a hash of the files."""
        return f"clap {_CODE} {' '.join(file_hash(path) for path in self.files)}"

    def _text(self, sentence: str) -> Rows:
        # GPT-2 looks back only, so leaving the padding out changes nothing before it.
        ids = self.words.ids(f"{sentence} {END}")[:_LONGEST]
        found: Rows = self.text_net(torch.tensor([ids]))[0].numpy()
        return found


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
    audio_net = fill_audio(below(tensors, _AUDIO), weights)
    text_net, words = fill_text(below(tensors, _TEXT), weights), BytePairs.read(vocabulary, merges)
    rows = text_net.wte.num_embeddings
    refuse_other_words(vocabulary, len(words.vocabulary), rows=rows, weights=weights, published=PUBLISHED)
    return MsClap(
        audio_net,
        text_net,
        words,
        (weights, vocabulary, merges),
    )


def fill_audio(tensors: Mapping[str, Tensor], path: Path) -> htsat.Htsat:
    """Return the audio side with the sizes that the tensors have."""
    stages = range(count_of(tensors, "layers."))
    mel = "logmel_extractor.melW"
    bias = "layers.{}.blocks.0.attn.relative_position_bias_table"
    sizes = htsat.Sizes(
        width=width_of(tensors, "patch_embed.norm.weight", path),
        depths=tuple(count_of(tensors, f"layers.{stage}.blocks.") for stage in stages),
        heads=tuple(width_of(tensors, bias.format(stage), path, place=1) for stage in stages),
        bands=width_of(tensors, mel, path, place=1),
        fft=2 * (width_of(tensors, mel, path) - 1),
    )
    net = htsat.Htsat(sizes)
    fill(net, {"bn0.num_batches_tracked": torch.zeros(()), **tensors}, path, idle=_IDLE_AUDIO)
    return net


def fill_text(tensors: Mapping[str, Tensor], path: Path) -> gpt2.Gpt2:
    """Return the text side with the sizes that the tensors have."""
    width = width_of(tensors, "wte.weight", path, place=1)
    sizes = gpt2.Sizes(
        width=width,
        depth=count_of(tensors, "h."),
        heads=max(1, width // _HEAD),
        vocabulary=width_of(tensors, "wte.weight", path),
        longest=width_of(tensors, "wpe.weight", path),
    )
    net = gpt2.Gpt2(sizes)
    fill(net, tensors, path, idle=_IDLE_TEXT)
    return net
