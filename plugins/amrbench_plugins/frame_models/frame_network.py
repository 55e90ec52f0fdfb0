"""Frames that know the sentence and their neighbours: the network behind `frame-network`.

Names of the tensors it provides (its heads add theirs):

    saliency        (B, T)      log odds that a frame belongs to a moment of the sentence
    memory          (B, T, D)   frames that the heads read
    memory.token    (B, D)      the sentence in one vector
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from amrbench.slots.blocks import Activation, Head, Memory
from amrbench.types import Batch, Encoded, Tensors
from amrbench_plugins.moment_detr.layers import zero_padding
from amrbench_plugins.moment_detr.positions import sine


class Gelu(Activation):
    """GELU everywhere."""

    @override
    def mlp(self) -> nn.Module:
        return nn.GELU()

    @override
    def feedforward(self) -> nn.Module:
        return nn.GELU()


class DilatedLayer(nn.Module):
    """A convolution over frames that are `dilation` apart, a projection, and a residual."""

    def __init__(self, width: int, *, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        reach = dilation * (kernel - 1) // 2
        self.convolution = nn.Conv1d(width, width, kernel, padding=reach, dilation=dilation)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, width)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D); padded frames count as zero, as those outside do."""
        rows = self.norm(frames).masked_fill(~mask[..., None], 0)
        mixed = self.convolution(rows.transpose(1, 2)).transpose(1, 2)
        return frames + self.out(self.dropout(self.activation(mixed)))  # type: ignore[no-any-return]


class FrameConvolutions(nn.Module):
    """Layers whose dilation doubles; the reach is (kernel - 1) / 2 times (2^layers - 1) frames."""

    def __init__(self, width: int, *, layers: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DilatedLayer(width, kernel=kernel, dilation=2**index, dropout=dropout) for index in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Map (B, T, D) with the mask (B, T) to (B, T, D), normalised."""
        for layer in self.layers:
            frames = layer(frames, mask)
        return self.norm(frames)  # type: ignore[no-any-return]


class FrameNetworkModel(nn.Module):
    """Compares frames with the mean of the words, and adds what their neighbours say."""

    heads: Mapping[str, Head]

    def __init__(
        self, audio: nn.Module, text: nn.Module, convolutions: FrameConvolutions, heads: nn.ModuleDict
    ) -> None:
        """Take networks (..., features) to (..., D) of both sides, one over frames, and the heads."""
        super().__init__()
        width = convolutions.norm.normalized_shape[0]
        self.audio = audio
        self.text = text
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(-3.0))  # few frames belong to a moment
        self.join = nn.Linear(3 * width + 1, width)
        self.convolutions = convolutions
        self.correction = nn.Linear(width, 1)
        self.add_module("heads", heads)
        # The saliency starts as that of a dual encoder, which learns it in a few epochs.
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def encode(self, batch: Batch, views: Collection[str] = ()) -> Encoded:
        """Compute all tensors; there are no views."""
        mask = batch.audio_mask
        sentence = functional.normalize(self._sentence(batch), dim=-1)
        audio = functional.normalize(self.audio(zero_padding(batch.audio, mask)), dim=-1)
        similarity = (audio @ sentence[..., None]) * self.scale + self.bias  # (B, T, 1)
        frames = self.convolutions(self._joined(audio, sentence, similarity), mask)
        saliency = (similarity + self.correction(frames)).squeeze(-1)
        positions = sine(mask, frames.shape[-1]).to(frames.dtype)
        memory = Memory(sentence, frames, positions, mask)
        tensors = {"saliency": saliency, "memory": frames, "memory.token": sentence}
        for head in self.heads.values():
            tensors.update(head.of_memory(memory))
        return Encoded(None, tensors)

    def decode(self, encoded: Encoded) -> Tensors:
        """Return nothing: there is no decoder."""
        return {}

    def _sentence(self, batch: Batch) -> Tensor:
        """Return the mean of the words, (B, D)."""
        words = batch.text_mask[..., None]
        features = self.text(zero_padding(batch.text, batch.text_mask))
        return (features * words).sum(1) / words.sum(1)  # type: ignore[no-any-return]

    def _joined(self, audio: Tensor, sentence: Tensor, similarity: Tensor) -> Tensor:
        """Return frames (B, T, D) that know their similarity to the sentence, and what it is made of."""
        width = audio.shape[-1]
        audio, sentence = audio * width**0.5, (sentence * width**0.5)[:, None]  # numbers around 1
        product = audio * sentence
        return self.join(torch.cat([audio, sentence.expand_as(audio), product, similarity], -1))  # type: ignore[no-any-return]
