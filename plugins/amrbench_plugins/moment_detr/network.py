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
    summary.text            (B, D)        the sentence in one vector; the summaries may be absent
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

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from amrbench.slots.blocks import (
    Decoder,
    Encoder,
    Fusion,
    Head,
    Keys,
    Memory,
    Queries,
    TemporalEmbedding,
    Tokens,
    learned_tokens,
)
from amrbench.types import Batch, Encoded, Tensors
from amrbench_plugins.moment_detr.layers import InputProjection, zero_padding
from amrbench_plugins.moment_detr.positions import sine
from amrbench_plugins.moment_detr.summary import NoSummary, TextSummary
from amrbench_plugins.moment_detr.tensors import LazyTensors

MISMATCHED_TEXT = "mismatched-text"


class MomentDetrNetwork(nn.Module):
    """Audio and a sentence in; spans, scores and saliency out."""

    audio_projection: InputProjection
    text_projection: InputProjection
    audio_refine: Sequence[Callable[[Memory], Memory]]
    temporal_embedding: TemporalEmbedding
    fusion: Fusion
    text_summary: TextSummary | NoSummary
    encoder: Encoder
    memory_refine: Mapping[str, Callable[[Memory], Memory]]
    query: Callable[[Tensors], Queries]
    decoder: Decoder
    heads: Mapping[str, Head]

    def __init__(self, width: int, token_types: Tensor, **slots: nn.Module) -> None:
        """Take a module for each of the names above.

        `token_types` is a parameter or buffer (2, D): what is added to words, and to frames.
        """
        super().__init__()
        for name, module in slots.items():
            self.add_module(name, module)
        self.width = width
        self.token_types = token_types

    def encode(self, batch: Batch, views: Collection[str] = ()) -> Encoded:
        """Compute everything before the decoder; the view shares the projected audio and its dropout."""
        text = self.text_projection(zero_padding(batch.text, batch.text_mask)) + self.token_types[0]
        words = Tokens(text, torch.zeros_like(text), batch.text_mask)
        refined = self._project_audio(batch)
        time = self.temporal_embedding.add(batch.audio_mask).to(refined.features.dtype)
        audio = refined.with_features(refined.features + time + self.token_types[1])
        keys = self.fusion.keys(words)

        others: dict[str, Tensors] = {}
        if MISMATCHED_TEXT in views:
            # One batch of 2B: the samples, and then each recording with the text of the next sample.
            both = Keys(keys.tokens.stacked_on(keys.tokens.rolled()), keys.dummies)
            memory, stacked = self._fuse(audio.stacked_on(audio), both)
            memory = Memory(*(rows.chunk(2)[0] for rows in vars(memory).values()))
            halves = {name: tensor.chunk(2) for name, tensor in stacked.items()}
            fused = {name: half[0] for name, half in halves.items()}
            others[MISMATCHED_TEXT] = {
                **{name: half[1] for name, half in halves.items()},
                "differs": batch.recording != batch.recording.roll(-1),
            }
        else:
            memory, fused = self._fuse(audio, keys)

        projected = {"audio.refined": refined.features, "text": text}
        projected |= {"audio": audio.features, "audio.positions": audio.positions}
        tensors = LazyTensors({**projected, **keys.tensors, **fused}, self.text_summary.makers(keys))
        return Encoded(memory, tensors, others)

    def decode(self, encoded: Encoded) -> Tensors:
        """Decode the memory and apply the heads."""
        decoded = self.decoder(self.query(encoded.tensors), encoded.state)
        tensors: dict[str, Tensor] = {}
        for head in self.heads.values():
            tensors.update(head.of_queries(decoded))
        return tensors

    def _project_audio(self, batch: Batch) -> Tokens:
        mask = batch.audio_mask
        features = zero_padding(batch.audio, mask)
        columns = self.temporal_embedding.columns(mask).to(features.dtype)
        features = self.audio_projection(torch.cat([columns, features], -1))
        positions = sine(mask, self.width).to(features.dtype)
        memory = Memory(features.new_zeros(len(features), self.width), features, positions, mask)
        for refine in self.audio_refine:
            memory = refine(memory)
        return Tokens(memory.frames, positions, mask)

    def _fuse(self, audio: Tokens, keys: Keys) -> tuple[Memory, dict[str, Tensor]]:
        """Fuse, encode and refine; return the memory and all tensors on the way to it, batch first."""
        fused = self.fusion(audio, keys)
        token = learned_tokens(fused.token_position[None], fused.token_position[None], len(audio.mask))
        token = token.with_features(fused.token[:, None])
        encoded = self.encoder(token.followed_by(fused.audio))
        memory = Memory(encoded[:, 0], encoded[:, 1:], audio.positions, audio.mask)
        tensors = {**fused.tensors, "memory.encoded": memory.frames}
        for name, refine in self.memory_refine.items():
            memory = refine(memory)
            tensors[f"memory.{name}"] = memory.frames
        tensors |= {"memory": memory.frames, "memory.token": memory.token}
        for head in self.heads.values():
            tensors.update(head.of_memory(memory))
        return memory, tensors
