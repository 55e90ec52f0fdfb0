"""QD-DETR as one plain module, the slow twin of the parts that CG-DETR lacks.

Written for reading, with the reference's parameter names, so that the reference's state dict loads without
changes. Stacks that both models have are those of `cgdetr_layers`; without dropout they compute the same.
`qddetr_loss` has the criterion, `qddetr_cases` the golden cases. Shapes as in `cgdetr`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from amrbench_plugins.qddetr.reference_checkpoint import Config
from tests.oracle.cgdetr import Inputs, PairMask, real_keys
from tests.oracle.cgdetr_layers import (
    MLP,
    Decoder,
    Encoder,
    Memory,
    frame_sine,
    input_projection,
    inverse_sigmoid,
    project,
)


@dataclass(frozen=True)
class Core:
    """What one pairing of audio and text gives."""

    fused: list[Tensor]  # (B,T,D) of each layer of cross attention
    encoded: Tensor  # (B,1+T,D), the global token first
    states: Tensor  # (N,B,Q,D)
    references: Tensor  # (N,B,Q,2)


@dataclass(frozen=True)
class Outputs:
    """Predictions and the other inputs of the criterion."""

    logits: Tensor  # (N,B,Q,2), class 0 is the foreground
    spans: Tensor  # (N,B,Q,2)
    saliency: Tensor  # (B,T)
    negative_saliency: Tensor  # (B,T) with the text of the next sample
    audio_mask: Tensor
    true: Core
    rolled: Core


class CrossLayer(nn.Module):
    """Frames attend to words."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, hidden = config.width, config.feedforward
        self.self_attn = nn.MultiheadAttention(width, config.heads, config.dropout, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.activation, self.dropout = nn.PReLU(), nn.Dropout(config.dropout)

    def forward(self, frames: Tensor, position: Tensor, words: Tensor, allowed: Tensor) -> Tensor:
        """Frames (B,T,D), words (B,L,D), allowed (B,H,T,L) -> (B,T,D).

        The second residual starts before the first norm.
        """
        blocked = ~allowed.flatten(0, 1)
        branch, _ = self.self_attn(frames + position, words, words, attn_mask=blocked)
        x = frames + self.dropout(branch)
        hidden = self.dropout(self.activation(self.linear1(self.norm1(x))))
        return self.norm2(x + self.dropout(self.linear2(hidden)))


class Transformer(nn.Module):
    """Cross attention, encoder, decoder."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.t2v_encoder = nn.Module()
        self.t2v_encoder.layers = nn.ModuleList(CrossLayer(config) for _ in range(config.cross_layers))
        shape = (config.width, config.heads, config.feedforward, config.dropout)
        self.encoder: Any = Encoder(config.encoder_layers, *shape)
        self.decoder: Any = Decoder(config)


class QDDETR(nn.Module):
    """The whole model; `pair_mask` says which frame may look at which word."""

    def __init__(self, config: Config, *, pair_mask: PairMask = real_keys) -> None:
        super().__init__()
        width = config.width
        self.config, self.pair_mask = config, pair_mask
        self.transformer: Any = Transformer(config)
        self.input_txt_proj = input_projection(config.text_width, width, config.input_dropout)
        self.input_vid_proj = input_projection(config.audio_width + 2, width, config.input_dropout)
        self.query_embed = nn.Embedding(config.queries, 2)
        self.class_embed = nn.Linear(width, 2)
        self.span_embed = MLP(width, width, 2, 3)
        self.saliency_proj1, self.saliency_proj2 = nn.Linear(width, width), nn.Linear(width, width)
        self.global_rep_token = nn.Parameter(torch.randn(width))
        self.global_rep_pos = nn.Parameter(torch.randn(width))

    def forward(self, inputs: Inputs) -> Outputs:
        """Predict the moments of every pair, and the saliency of each recording under the next text."""
        frames = project(self.input_vid_proj, torch.cat([inputs.temporal, inputs.audio], -1))
        words, mask = project(self.input_txt_proj, inputs.text), inputs.text_mask
        true = self.core(frames, inputs.audio_mask, words, mask)
        next_words, next_mask = (torch.cat([rows[1:], rows[:1]]) for rows in (words, mask))
        rolled = self.core(frames, inputs.audio_mask, next_words, next_mask)
        return Outputs(
            logits=self.class_embed(true.states),
            spans=(self.span_embed(true.states) + inverse_sigmoid(true.references)).sigmoid(),
            saliency=self.saliency(true),
            negative_saliency=self.saliency(rolled),
            audio_mask=inputs.audio_mask,
            true=true,
            rolled=rolled,
        )

    def core(self, frames: Tensor, audio_mask: Tensor, words: Tensor, text_mask: Tensor) -> Core:
        """Run cross attention, encoder and decoder for one pairing."""
        position, fused, x = frame_sine(audio_mask, frames.shape[-1]), [], frames
        allowed = self.pair_mask(audio_mask, text_mask, self.config.heads)
        for layer in self.transformer.t2v_encoder.layers:
            x = layer(x, position, words, allowed)
            fused.append(x)
        token, token_position = (
            row.expand(len(frames), 1, -1) for row in (self.global_rep_token, self.global_rep_pos)
        )
        encoded = self.transformer.encoder(
            torch.cat([token, x], 1),
            torch.cat([token_position, position], 1),
            torch.cat([torch.ones_like(audio_mask[:, :1]), audio_mask], 1),
        )
        anchors = self.query_embed.weight.sigmoid().expand(len(frames), -1, -1)
        memory = Memory(encoded[:, 1:], position, audio_mask)
        return Core(fused, encoded, *self.transformer.decoder(anchors, memory))

    def saliency(self, core: Core) -> Tensor:
        """Compare each frame with the encoded global token, (B,T)."""
        token, frames = core.encoded[:, :1], core.encoded[:, 1:]
        product = self.saliency_proj1(frames) * self.saliency_proj2(token)
        return product.sum(-1) / math.sqrt(self.config.width)
