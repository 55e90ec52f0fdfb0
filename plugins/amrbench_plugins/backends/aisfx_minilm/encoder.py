"""Two encoders that come inside packages, as one: aiSFX for recordings and MiniLM for sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn import functional
from typing_extensions import override

from amrbench.files.torch_checkpoint import read_checkpoint
from amrbench.types import Rows
from amrbench_plugins.backends import bert
from amrbench_plugins.backends.aisfx_minilm import cnn
from amrbench_plugins.backends.lazy_encoder import LoadedEncoder, encode_batches
from amrbench_plugins.backends.model_files import file_hash, refuse_missing_transformers
from amrbench_plugins.backends.published_weights import (
    axis_size,
    load_published_weights,
    read_safetensors,
    tensors_below,
)

Text = Literal["sentence", "tokens"]
_CODE = 1
"""Raised when the same weights give other rows."""
_BATCH = 4
TEXT_PARAMETERS = 22_565_376
"""Of all-MiniLM-L6-v2 without its pooler."""
_HEAD = 32
"""Width of an attention head in MiniLM; the shapes of the weights do not show it."""
_AUDIO = "embedding_net."
"""The rest of the file are classifiers, whose names of classes are not published."""


@dataclass(frozen=True)
class AisfxMiniLm(LoadedEncoder):
    """Audio and text side, with their weights in memory."""

    audio_net: cnn.AudioEncoder
    text_net: bert.Bert
    text_form: Text
    files: tuple[Path, ...]

    @override
    @torch.inference_mode()
    def audio(self, waveform: Rows) -> Rows:
        """Return (T, 512): for each whole second the block of 2.3 seconds around it, silence at the ends."""
        width = self.audio_net.width
        return encode_batches(blocks(waveform), batch=_BATCH, width=width, encode=self._rows)

    def _rows(self, pieces: Rows) -> Rows:
        rows: Rows = self.audio_net(torch.from_numpy(pieces.copy())).numpy()
        return rows

    @override
    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return (1, 384) for each sentence, or the sentence and its tokens (1 + L, 384), all of length 1."""
        return [self._words(sentence) for sentence in sentences]

    @torch.inference_mode()
    def _words(self, sentence: str) -> Rows:
        states = self.text_net.states(sentence)
        # The mean stands for the sentence; the first and the last state belong to the marks around it.
        kept = states[:0] if self.text_form == "sentence" else states[1:-1]
        words: Rows = functional.normalize(torch.cat([states.mean(0, keepdim=True), kept]), dim=1).numpy()
        return words

    @override
    def too_long(self, sentences: Sequence[str]) -> list[str]:
        return [sentence for sentence in sentences if self.text_net.is_too_long(sentence)]

    @override
    def fingerprint(self) -> str:
        hashes = " ".join(file_hash(path) for path in self.files)
        return f"aisfx-minilm {_CODE} {self.text_form} {hashes}"


def blocks(waveform: Rows) -> Rows:
    """Return (T, cnn.BLOCK) samples, each row around a whole second of a waveform, as a view of a copy."""
    count = len(waveform) // cnn.RATE
    before = (cnn.BLOCK - cnn.RATE) // 2
    padded = np.pad(np.asarray(waveform[: count * cnn.RATE + before], np.float32), (before, cnn.BLOCK))
    return np.lib.stride_tricks.sliding_window_view(padded, cnn.BLOCK)[:: cnn.RATE][:count]


def load(audio: Path, folder: Path, text_form: Text) -> AisfxMiniLm:
    """Read the published files.

    Args:
        audio: checkpoint.pth of aisfx.
        folder: Of all-MiniLM-L6-v2; its vocab.txt is that of bert-base-uncased.
        text_form: Which rows `text` gives.

    Raises:
        CheckpointError: Weights are damaged, hold code, or are not the published ones.
        DataError: The vocabulary cannot be read, or is not that of the weights.
    """
    refuse_missing_transformers("aisfx-minilm")
    text, vocabulary = folder / "model.safetensors", folder / "vocab.txt"
    text_net = bert.load(read_safetensors(text), text, vocabulary, head=_HEAD)
    return AisfxMiniLm(load_audio(audio), text_net, text_form, (audio, text, vocabulary))


def load_audio(path: Path) -> cnn.AudioEncoder:
    """Return the audio side with the sizes and weights of a file."""
    tensors = tensors_below(read_checkpoint(path, bare=True).weights, _AUDIO)
    blocks = range(1, len(cnn.WIDTHS) + 1)
    widths = [axis_size(tensors, f"conv_block{number}.conv1.weight", path) for number in blocks]
    return load_published_weights(cnn.AudioEncoder(widths), tensors, path)
