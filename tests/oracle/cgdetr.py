"""CG-DETR as one plain module, the slow twin of the plugin's parts.

Written for reading, not for speed, and with the reference's parameter names, so that the reference's state
dict loads without changes. Two modules of the reference that its forward pass never reads are left out.
`cgdetr_layers` has the stacks, `cgdetr_loss` the matcher and the criterion, `cgdetr_cases` the golden cases.
Shapes: B batch, T audio frames, L words, D width, Q queries, H heads, N decoder layers, G dummies, K = G + L
keys (dummies first), P prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from amrbench_plugins.cgdetr.reference_checkpoint import Config
from tests.oracle.cgdetr_layers import (
    MLP,
    CrossEncoder,
    Decoder,
    Encoder,
    Keys,
    Memory,
    frame_sine,
    input_projection,
    inverse_sigmoid,
    project,
)

TEXT_HEADS = 8
TEXT_DROPOUT = 0.1

PairMask = Callable[[Tensor, Tensor, int], Tensor]
"""(frames (B,T), keys (B,K), heads) -> (B,H,T,K): which frame may look at which key."""


def real_keys(frames: Tensor, keys: Tensor, heads: int) -> Tensor:
    """Let every frame look at every real key."""
    return keys[:, None, None, :].expand(-1, heads, frames.shape[1], -1)


def tiled_keys(frames: Tensor, keys: Tensor, heads: int) -> Tensor:
    """The mistake of the first reference: heads of sample b also use the padding mask of another sample.

    The mask (padded frame x padded key) is tiled head by head, while the scores are ordered sample by sample,
    so that row b*H + h uses the mask of sample (b*H + h) mod B.
    """
    blocked = ~frames[:, :, None] & ~keys[:, None, :]
    tiled = blocked.repeat(heads, 1, 1).unflatten(0, (frames.shape[0], heads))
    return real_keys(frames, keys, heads) & ~tiled


@dataclass(frozen=True)
class Inputs:
    """One batch; without recordings there are no negative pairs."""

    text: Tensor
    text_mask: Tensor
    temporal: Tensor
    audio: Tensor
    audio_mask: Tensor
    recordings: list[str]


@dataclass(frozen=True)
class Core:
    """The output of the transformer core for one pairing of audio and text."""

    states: Tensor  # (N,B,Q,D)
    references: Tensor  # (N,B,Q,2)
    memory: Tensor  # (B,T,D), the global token added
    token: Tensor  # (B,D)
    attention: Tensor  # (B,T,K)


@dataclass(frozen=True)
class Outputs:
    """Predictions and the other inputs of the criterion; M samples have a neighbour of other audio."""

    logits: Tensor  # (N,B,Q,2), class 0 is the foreground
    spans: Tensor  # (N,B,Q,2)
    saliency: Tensor  # (B,T)
    text_share: Tensor  # (B,T), attention that went to real words
    attention: Tensor  # (B,T,K)
    frames: Tensor  # (B,T,D), projected audio
    words: Tensor  # (B,L,D), projected text
    dummies: Tensor  # (B,G,D)
    audio_mask: Tensor
    text_mask: Tensor
    has_negative: Tensor  # (B,)
    negative_saliency: Tensor  # (M,T)
    negative_text_share: Tensor  # (M,T)


@dataclass(frozen=True)
class Alignment:
    """The inputs of the alignment and distillation terms; they need the clip labels."""

    moment: Tensor  # (B,D)
    rest: Tensor  # (B,D), the token of the clips outside the moment
    sentence: Tensor  # (B,D)
    dummy_sentence: Tensor  # (B,D)
    frames: Tensor  # (B,T,D)
    similarity: Tensor  # (B,T,K)


@dataclass(frozen=True)
class Pair:
    """The text that a batch of frames is paired with: words (B,L,D), mask (B,L), dummies (B,G,D)."""

    words: Tensor
    text_mask: Tensor
    dummies: Tensor


class Transformer(nn.Module):
    """Cross attention, global token, encoder, decoder."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        shape = (config.width, config.heads, config.feedforward, config.dropout)
        self.t2v_encoder = CrossEncoder(config.cross_layers, *shape)
        self.encoder = Encoder(config.encoder_layers, *shape)
        self.mcls_encoder = Encoder(config.moment_layers, *shape)
        self.decoder = Decoder(config)


class CGDETR(nn.Module):
    """The whole model; `pair_mask` says which frame may look at which word."""

    def __init__(self, config: Config, *, pair_mask: PairMask = real_keys) -> None:
        super().__init__()
        width = config.width
        self.config, self.pair_mask = config, pair_mask
        text_shape = (width, TEXT_HEADS, config.feedforward, TEXT_DROPOUT)
        self.transformer = Transformer(config)
        self.txtproj_encoder = Encoder(config.dummy_layers, *text_shape)
        self.scls_encoder = Encoder(config.sentence_layers, *text_shape)
        self.input_txt_proj = input_projection(config.text_width, width, config.input_dropout)
        self.input_vid_proj = input_projection(config.audio_width + 2, width, config.input_dropout)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.query_embed = nn.Embedding(config.queries, 2)
        self.class_embed = nn.Linear(width, 2)
        self.span_embed = MLP(width, width, 2, 3)
        self.saliency_proj1, self.saliency_proj2 = nn.Linear(width, width), nn.Linear(width, width)
        for name, rows in (("dummy", (config.dummies,)), ("sent", ()), ("moment", ())):
            self.register_parameter(f"{name}_rep_token", nn.Parameter(torch.randn(*rows, width)))
            self.register_parameter(f"{name}_rep_pos", nn.Parameter(torch.randn(*rows, width)))
        self.global_rep_token = nn.Parameter(torch.randn(config.prompts, width))
        self.global_rep_pos = nn.Parameter(torch.randn(1, width))

    def forward(self, inputs: Inputs) -> Outputs:
        """Predict the moments of every pair, and the saliency of the mismatched ones."""
        kinds = self.token_type_embeddings.weight
        frames = project(self.input_vid_proj, torch.cat([inputs.temporal, inputs.audio], -1)) + kinds[1]
        words = project(self.input_txt_proj, inputs.text) + kinds[0]
        dummies = self.dummies(words, inputs.text_mask)
        core = self.core(frames, inputs.audio_mask, Pair(words, inputs.text_mask, dummies))
        has_negative = other_recording(inputs.recordings, frames.shape[0])
        other = neighbour(has_negative)
        twin = self.core(
            frames[has_negative],
            inputs.audio_mask[has_negative],
            Pair(words[other], inputs.text_mask[other], dummies[other]),
        )
        return Outputs(
            logits=self.class_embed(core.states),
            spans=(self.span_embed(core.states) + inverse_sigmoid(core.references)).sigmoid(),
            saliency=self.saliency(core),
            text_share=self.text_share(core, inputs.text_mask),
            attention=core.attention,
            frames=frames,
            words=words,
            dummies=dummies,
            audio_mask=inputs.audio_mask,
            text_mask=inputs.text_mask,
            has_negative=has_negative,
            negative_saliency=self.saliency(twin),
            negative_text_share=self.text_share(twin, inputs.text_mask[other]),
        )

    def dummies(self, words: Tensor, text_mask: Tensor) -> Tensor:
        """Condition the dummies on the text, (B,G,D)."""
        count = self.dummy_rep_token.shape[0]
        sequence, positions, mask = self.prepend(
            self.dummy_rep_token, self.dummy_rep_pos, words, torch.zeros_like(words), text_mask
        )
        return self.txtproj_encoder(sequence, positions, mask)[:, :count]

    def prepend(
        self, token: Tensor, token_position: Tensor, rows: Tensor, positions: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Put learned tokens (n,D) before rows (B,m,D): sequence, positions, mask."""
        batch, count = rows.shape[0], token.shape[0]
        sequence = torch.cat([token.expand(batch, -1, -1), rows], 1)
        positions = torch.cat([token_position.expand(batch, -1, -1), positions], 1)
        return sequence, positions, torch.cat([torch.ones(batch, count, dtype=torch.bool), mask], 1)

    def core(self, frames: Tensor, audio_mask: Tensor, pair: Pair) -> Core:
        """Run cross attention, encoder and decoder for one pairing."""
        transformer, position = self.transformer, frame_sine(audio_mask, frames.shape[-1])
        mean = mean_of_real(frames, audio_mask)
        fused, attention = transformer.t2v_encoder(frames, position, self.keys(audio_mask, pair))
        token = transformer.t2v_encoder.token(self.global_token(frames, mean, attention, audio_mask))
        sequence = torch.cat([token, fused], 1)
        positions = torch.cat([self.global_rep_pos.expand(frames.shape[0], -1, -1), position], 1)
        mask = torch.cat([torch.ones_like(audio_mask[:, :1]), audio_mask], 1)
        encoded = transformer.encoder(sequence, positions, mask)
        memory = encoded[:, 1:] + encoded[:, :1]
        anchors = self.query_embed.weight.sigmoid().expand(frames.shape[0], -1, -1)
        states, references = transformer.decoder(anchors, Memory(memory, position, audio_mask))
        return Core(states, references, memory, encoded[:, 0], attention)

    def keys(self, audio_mask: Tensor, pair: Pair) -> Keys:
        """Concatenate dummies and words."""
        positions = self.dummy_rep_pos.expand(pair.words.shape[0], -1, -1)
        mask = torch.cat([torch.ones(pair.dummies.shape[:2], dtype=torch.bool), pair.text_mask], 1)
        return Keys(
            content=torch.cat([pair.dummies, pair.words], 1),
            position=torch.cat([positions, torch.zeros_like(pair.words)], 1),
            allowed=self.pair_mask(audio_mask, mask, self.config.heads),
            dummies=pair.dummies.shape[1],
        )

    def global_token(self, frames: Tensor, mean: Tensor, attention: Tensor, audio_mask: Tensor) -> Tensor:
        """Mix the prompts that are most similar to the frames of the text, (B,1,D)."""
        prompts = self.global_rep_token
        alike = functional.cosine_similarity((frames - mean)[:, :, None], prompts, dim=-1).softmax(-1)
        importance = attention[..., self.config.dummies :].sum(-1).detach() * audio_mask
        importance = importance / importance.sum(-1, keepdim=True)
        scores = torch.einsum("btp,bt->bp", alike, importance)
        best, chosen = scores.topk(self.config.prompts_used, dim=-1)
        return (best[..., None] * prompts[chosen]).sum(1, keepdim=True) + mean

    def saliency(self, core: Core) -> Tensor:
        """Compare each frame of the memory with the global token, (B,T)."""
        frames, token = self.saliency_proj1(core.memory), self.saliency_proj2(core.token)
        return (frames @ token[..., None]).squeeze(-1) / math.sqrt(self.config.width)

    def text_share(self, core: Core, text_mask: Tensor) -> Tensor:
        """Attention that each frame gives to real words, (B,T)."""
        words = core.attention[..., self.config.dummies :] * text_mask[:, None, :]
        return words.sum(-1).clamp(0, 1)

    def alignment(self, outputs: Outputs, labels: Tensor) -> Alignment:
        """Encode sentence, dummies, moment and the rest; labels (B,T) say which clips are the moment."""
        sentence, words = self.sentence(outputs.words, torch.zeros_like(outputs.words), outputs.text_mask)
        positions = self.dummy_rep_pos.expand_as(outputs.dummies)
        real = torch.ones(outputs.dummies.shape[:2], dtype=torch.bool)
        dummy_sentence, dummy_words = self.sentence(outputs.dummies, positions, real)
        inside = labels > 0
        moment, moment_frames = self.moment(outputs, inside)
        rest, rest_frames = self.moment(outputs, ~inside)
        return Alignment(
            moment=moment,
            rest=rest,
            sentence=sentence,
            dummy_sentence=dummy_sentence,
            frames=torch.where(inside[..., None], moment_frames, rest_frames),
            similarity=moment_frames @ torch.cat([dummy_words, words], 1).transpose(1, 2),
        )

    def sentence(self, words: Tensor, position: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Summarise (B,n,D): the summary (B,D) and the encoded words."""
        token, token_position = self.sent_rep_token[None], self.sent_rep_pos[None]
        encoded = self.scls_encoder(*self.prepend(token, token_position, words, position, mask))
        return encoded[:, 0], encoded[:, 1:]

    def moment(self, outputs: Outputs, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Summarise the chosen clips: the summary (B,D) and the encoded frames (B,T,D)."""
        positions, mask = frame_sine(outputs.audio_mask, self.config.width), outputs.audio_mask & clips
        token, token_position = self.moment_rep_token[None], self.moment_rep_pos[None]
        chosen = self.prepend(token, token_position, outputs.frames, positions, mask)
        encoded = self.transformer.mcls_encoder(*chosen)
        return encoded[:, 0], encoded[:, 1:]


def mean_of_real(frames: Tensor, mask: Tensor) -> Tensor:
    """Mean over real frames, (B,1,D), without gradient."""
    weight = mask[..., None].float()
    return ((frames * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)).detach()


def other_recording(recordings: list[str], batch: int) -> Tensor:
    """Which samples have a cyclic neighbour from another recording, (B,)."""
    if not recordings:
        return torch.zeros(batch, dtype=torch.bool)
    return torch.tensor([name != recordings[(i + 1) % batch] for i, name in enumerate(recordings)])


def neighbour(rows: Tensor) -> Tensor:
    """Indices of the samples after the chosen ones."""
    return (rows.nonzero().squeeze(-1) + 1) % rows.shape[0]
