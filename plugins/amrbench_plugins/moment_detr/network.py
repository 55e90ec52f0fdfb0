"""The network behind `moment-detr`: which slot reads what, in which order.

Names of the tensors it provides (the parts of its slots add theirs):

    audio.refined           (B, T, D)     projected audio after the parts of `audio_refine`
    audio                   (B, T, D)     the same with temporal embedding and token type
    audio.positions         (B, T, D)     sine positions of the frames
    text                    (B, L, D)     projected words with token type
    memory.encoded          (B, T, D)     encoded frames
    memory.<part>           (B, T, D)     frames after each part of `memory_refine`, by its name
    memory                  (B, T, D)     frames that decoder and heads read
    memory.token            (B, D)        the encoded global token
    summary.text            (B, D)        the sentence in one vector
    summary.keys            (B, S + L, D) encoded dummies and words, without gradient
    summary.dummies         (B, D)        the dummies in one vector, where the fusion has dummies
    dummies                 (B, S, D)     fusion `adaptive-cross-attention`, as are the next three
    prompts                 (P, D)
    attention               (B, T, S + L) attention of frames to dummies and words
    attention.text          (B, T)        its sum over words
    saliency                (B, T)        head `saliency`
    spans                   (N, B, Q, 2)  head `spans`
    logits, scores          (N, B, Q, 2), (N, B, Q)   head `foreground`; the matcher reads the scores
    ranking_scores          (N, B, Q)     what moments are ranked by, if a head provides it; else the scores

The view "mismatched-text" pairs each recording with the text of the next sample. It provides the tensors of
fusion and heads for these pairs, and "differs" (B,), True where that text belongs to another recording.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from amrbench.slots.blocks import (
    Decoder,
    Encoder,
    Fusion,
    Head,
    Keys,
    Memory,
    TemporalEmbedding,
    Tokens,
    learned_tokens,
)
from amrbench.types import Batch, Encoded, Prediction, Tensors
from amrbench_plugins.moment_detr.layers import InputProjection
from amrbench_plugins.moment_detr.positions import sine
from amrbench_plugins.moment_detr.summary import TextSummary
from amrbench_plugins.moment_detr.tensors import LazyTensors

MISMATCHED_TEXT = "mismatched-text"
TOKEN_TYPE_INIT_STD = 0.02


@dataclass(frozen=True)
class Modules:
    """The built slots of a model, in forward order."""

    audio_projection: InputProjection
    text_projection: InputProjection
    audio_refine: nn.ModuleList
    temporal_embedding: nn.Module
    fusion: nn.Module
    text_summary: TextSummary
    encoder: nn.Module
    memory_refine: nn.ModuleDict
    query: nn.Module
    decoder: nn.Module
    heads: nn.ModuleDict


@dataclass(frozen=True)
class EncodedPairs:
    """Pairs of audio and text after the encoder."""

    memory: Memory
    tensors: Mapping[str, Tensor]
    """Batch first."""

    def split_views(self) -> tuple[EncodedPairs, EncodedPairs]:
        """Split a batch of 2B into the samples and their view with mismatched texts."""
        tensors = {name: tensor.chunk(2) for name, tensor in self.tensors.items()}
        memory = self.memory
        halves = [rows.chunk(2) for rows in (memory.token, memory.frames, memory.positions, memory.mask)]
        first, second = (Memory(*view) for view in zip(*halves, strict=True))
        return (
            EncodedPairs(first, {name: views[0] for name, views in tensors.items()}),
            EncodedPairs(second, {name: views[1] for name, views in tensors.items()}),
        )


class MomentDetrNetwork(nn.Module):
    """Audio and a sentence in, scored spans out."""

    audio_projection: InputProjection
    text_projection: InputProjection
    audio_refine: nn.ModuleList
    temporal_embedding: TemporalEmbedding
    fusion: Fusion
    text_summary: TextSummary
    encoder: Encoder
    memory_refine: nn.ModuleDict
    query: nn.Module
    decoder: Decoder
    heads: nn.ModuleDict

    def __init__(self, modules: Modules, width: int) -> None:
        super().__init__()
        for name, module in vars(modules).items():
            self.add_module(name, module)
        self.width = width
        self.token_types = nn.Parameter(torch.randn(2, width) * TOKEN_TYPE_INIT_STD)

    def encode(self, batch: Batch, views: Collection[str] = ()) -> Encoded:
        """Compute everything before the decoder; the view shares the projected audio and its dropout."""
        words, refined = self._project_text(batch), self._project_audio(batch)
        audio = self._embed_time(refined)
        keys = self.fusion.keys(words)
        if MISMATCHED_TEXT in views:
            both = self._fuse(audio.stacked_on(audio), _with_mismatched(keys))  # a batch of 2B
            fused, mismatched = both.split_views()
            differs = batch.recording != batch.recording.roll(-1)
            others = {MISMATCHED_TEXT: {**mismatched.tensors, "differs": differs}}
        else:
            fused, others = self._fuse(audio, keys), {}
        projected = {"audio.refined": refined.features, "text": words.features}
        projected |= {"audio": audio.features, "audio.positions": audio.positions}
        return Encoded(fused.memory, self._provided(projected, keys, fused), others)

    def decode(self, encoded: Encoded) -> Prediction:
        """Decode the memory and apply the heads; the last layer gives the moments."""
        decoded = self.decoder(self.query(encoded.tensors), encoded.state)
        tensors: dict[str, Tensor] = {}
        for head in self._heads():
            tensors.update(head.of_queries(decoded))
        ranking = tensors.get("ranking_scores", tensors["scores"])
        return Prediction(tensors["spans"][-1], ranking[-1], tensors)

    def _project_text(self, batch: Batch) -> Tokens:
        features = self.text_projection(_zero_padding(batch.text, batch.text_mask)) + self.token_types[0]
        return Tokens(features, torch.zeros_like(features), batch.text_mask)

    def _project_audio(self, batch: Batch) -> Tokens:
        mask = batch.audio_mask
        features = _zero_padding(batch.audio, mask)
        columns = self.temporal_embedding.columns(mask).to(features.dtype)
        features = self.audio_projection(torch.cat([columns, features], -1))
        positions = sine(mask, self.width).to(features.dtype)
        memory = Memory(features.new_zeros(features.shape[0], self.width), features, positions, mask)
        for refine in self.audio_refine:
            memory = refine(memory)
        return Tokens(memory.frames, positions, mask)

    def _embed_time(self, audio: Tokens) -> Tokens:
        added = self.temporal_embedding.add(audio.mask).to(audio.features.dtype)
        return audio.with_features(audio.features + added + self.token_types[1])

    def _fuse(self, audio: Tokens, keys: Keys) -> EncodedPairs:
        fused = self.fusion(audio, keys)
        token = learned_tokens(fused.token_position[None], fused.token_position[None], audio.mask.shape[0])
        token = token.with_features(fused.token[:, None])
        encoded = self.encoder(token.followed_by(fused.audio))
        memory = Memory(encoded[:, 0], encoded[:, 1:], audio.positions, audio.mask)
        tensors = {**fused.tensors, "memory.encoded": memory.frames}
        for name, refine in self.memory_refine.items():
            memory = refine(memory)
            tensors[f"memory.{name}"] = memory.frames
        tensors |= {"memory": memory.frames, "memory.token": memory.token}
        for head in self._heads():
            tensors.update(head.of_memory(memory))
        return EncodedPairs(memory, tensors)

    def _provided(self, projected: Tensors, keys: Keys, fused: EncodedPairs) -> Tensors:
        """Return the tensors of the batch; summaries of the text are computed on request."""
        makers = {
            "summary.text": lambda: self.text_summary.tokens(keys),
            "summary.dummies": lambda: self.text_summary.tokens(keys),
            "summary.keys": lambda: self.text_summary.keys(keys),
        }
        if keys.dummies == 0:
            del makers["summary.dummies"]
        return LazyTensors({**projected, **keys.tensors, **fused.tensors}, makers)

    def _heads(self) -> Collection[Head]:
        return self.heads.values()  # type: ignore[return-value]


def _zero_padding(features: Tensor, mask: Tensor) -> Tensor:
    # Padded rows may hold anything; a NaN would survive products with zero.
    return features.masked_fill(~mask[..., None], 0)


def _with_mismatched(keys: Keys) -> Keys:
    """Return a batch of 2B: the keys of each sample, then those of the next one."""
    return Keys(keys.tokens.stacked_on(keys.tokens.rolled()), keys.dummies)
