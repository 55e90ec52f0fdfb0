"""The layers of the plain CG-DETR: attention, encoder, cross attention and decoder stacks.

Shapes: B batch, T audio frames, D width, Q queries, H heads, N decoder layers, K keys (dummies, then words).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from amrbench_plugins.cgdetr.reference_checkpoint import Config


@dataclass(frozen=True)
class Keys:
    """The fixed keys of the cross attention: dummies, then words."""

    content: Tensor  # (B,K,D)
    position: Tensor  # (B,K,D)
    allowed: Tensor  # (B,H,T,K)
    dummies: int


@dataclass(frozen=True)
class Anchor:
    """A layer's anchors: learned position and sine code, both (B,Q,D)."""

    position: Tensor
    sine: Tensor


@dataclass(frozen=True)
class Memory:
    """What the decoder attends to: frames and position (B,T,D), mask (B,T)."""

    frames: Tensor
    position: Tensor
    mask: Tensor


class DropPath(nn.Module):
    """Stochastic depth: a sample loses its whole residual branch with probability `rate`."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Scale (B,...) by 0 or 1/(1-rate), drawn for each sample."""
        if not self.training or self.rate == 0:
            return branch
        kept = torch.rand(branch.shape[0], 1, 1) >= self.rate
        return branch * kept / (1 - self.rate)


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, first: int, hidden: int, last: int, layers: int) -> None:
        super().__init__()
        widths = [first, *[hidden] * (layers - 1), last]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Map (...,first) to (...,last)."""
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


class InputUnit(nn.Module):
    """LayerNorm, dropout, linear."""

    def __init__(self, first: int, width: int, dropout: float) -> None:
        super().__init__()
        self.LayerNorm = nn.LayerNorm(first)
        self.net = nn.Sequential(nn.Dropout(dropout), nn.Linear(first, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (...,first) to (...,width)."""
        return self.net(self.LayerNorm(x))


def input_projection(first: int, width: int, dropout: float) -> nn.Sequential:
    """Two input units with a ReLU between; the activation has no name in the state."""
    return nn.Sequential(InputUnit(first, width, dropout), InputUnit(width, width, dropout))


def project(units: nn.Sequential, x: Tensor) -> Tensor:
    """Apply an input projection to (B,*,first)."""
    return units[1](units[0](x).relu())


class Attended(nn.Module):
    """Attention without input projections; only the output is projected."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(width, width)

    def split(self, x: Tensor) -> Tensor:
        """(B,n,width) -> (B,H,n,width/H)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def weights(self, query: Tensor, key: Tensor, allowed: Tensor) -> Tensor:
        """Softmax of scaled products of (B,H,q,c) and (B,H,k,c) where `allowed` (broadcast)."""
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return scores.masked_fill(~allowed, -math.inf).softmax(-1)

    def gather(self, weights: Tensor, value: Tensor) -> Tensor:
        """Sum values (B,H,k,c) by weights (B,H,q,k) and project to (B,q,width)."""
        return self.out_proj((weights @ value).transpose(1, 2).flatten(-2))


class EncoderLayer(nn.Module):
    """Post-norm self-attention layer with a learned PReLU slope."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.activation = nn.PReLU()
        self.dropout, self.path = nn.Dropout(dropout), DropPath(dropout)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """x and position (B,n,D), mask (B,n)."""
        positioned = x + position
        branch, _ = self.self_attn(positioned, positioned, x, key_padding_mask=~mask)
        x = self.norm1(x + self.path(branch))
        return self.norm2(x + self.path(self.linear2(self.dropout(self.activation(self.linear1(x))))))


class Encoder(nn.Module):
    """A stack of encoder layers without a final norm."""

    def __init__(self, layers: int, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(width, heads, feedforward, dropout) for _ in range(layers))

    def forward(self, x: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """x and position (B,n,D), mask (B,n)."""
        for layer in self.layers:
            x = layer(x, position, mask)
        return x


class CrossLayer(nn.Module):
    """Frames attend to dummies and words; only words have values."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attended(width, heads, dropout)
        self.linear1, self.linear2 = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.activation = nn.PReLU()
        self.dropout, self.path = nn.Dropout(dropout), DropPath(dropout)

    def forward(self, frames: Tensor, position: Tensor, keys: Keys) -> tuple[Tensor, Tensor]:
        """Return the new frames (B,T,D) and the weights averaged over heads (B,T,K)."""
        attention = self.self_attn
        weights = attention.weights(
            attention.split(frames + position), attention.split(keys.content + keys.position), keys.allowed
        )
        words = attention.split(keys.content)[:, :, keys.dummies :]
        branch = attention.gather(attention.dropout(weights)[..., keys.dummies :], words)
        return self.finish(frames, branch), weights.mean(1)

    def token(self, token: Tensor) -> Tensor:
        """Pass the global token (B,1,D) through; with no keys, only the output bias reaches it."""
        return self.finish(token, self.self_attn.out_proj.bias.expand_as(token))

    def finish(self, x: Tensor, branch: Tensor) -> Tensor:
        """Residual and feed-forward; the second residual starts before the first norm."""
        x = x + self.path(branch)
        hidden = self.dropout(self.activation(self.linear1(self.norm1(x))))
        return self.norm2(x + self.path(self.linear2(hidden)))


class CrossEncoder(nn.Module):
    """A stack of cross layers over the same keys."""

    def __init__(self, layers: int, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossLayer(width, heads, feedforward, dropout) for _ in range(layers))

    def forward(self, frames: Tensor, position: Tensor, keys: Keys) -> tuple[Tensor, Tensor]:
        """Return the frames (B,T,D) and the weights averaged over heads and layers (B,T,K)."""
        layer_weights = []
        for layer in self.layers:
            frames, weights = layer(frames, position, keys)
            layer_weights.append(weights)
        return frames, torch.stack(layer_weights).mean(0)

    def token(self, token: Tensor) -> Tensor:
        """Pass the global token (B,1,D) through the same layers."""
        for layer in self.layers:
            token = layer.token(token)
        return token


class DecoderLayer(nn.Module):
    """Self-attention of queries, then attention to the memory with a sine code of the anchor."""

    def __init__(self, config: Config, *, first: bool) -> None:
        super().__init__()
        width, dropout = config.width, config.dropout
        for name in ("qcontent", "qpos", "kcontent", "kpos", "v"):
            self.add_module(f"sa_{name}_proj", nn.Linear(width, width))
        for name in ("qcontent", *(["qpos"] if first else []), "kcontent", "kpos", "v", "qpos_sine"):
            self.add_module(f"ca_{name}_proj", nn.Linear(width, width))
        self.first = first
        self.self_attn = Attended(width, config.heads, dropout)
        self.cross_attn = Attended(width, config.heads, dropout)
        self.linear1 = nn.Linear(width, config.feedforward)
        self.linear2 = nn.Linear(config.feedforward, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.activation = nn.PReLU()
        self.dropout, self.path = nn.Dropout(dropout), DropPath(dropout)

    def forward(self, state: Tensor, query: Anchor, memory: Memory) -> Tensor:
        """Return the new state (B,Q,D)."""
        state = self.norm1(state + self.path(self.among_queries(state, query.position)))
        state = self.norm2(state + self.path(self.to_memory(state, query, memory)))
        hidden = self.dropout(self.activation(self.linear1(state)))
        return self.norm3(state + self.path(self.linear2(hidden)))

    def among_queries(self, state: Tensor, position: Tensor) -> Tensor:
        """Self-attention branch (B,Q,D)."""
        attention = self.self_attn
        query = attention.split(self.sa_qcontent_proj(state) + self.sa_qpos_proj(position))
        key = attention.split(self.sa_kcontent_proj(state) + self.sa_kpos_proj(position))
        all_keys = torch.ones(1, dtype=torch.bool)
        weights = attention.dropout(attention.weights(query, key, all_keys))
        return attention.gather(weights, attention.split(self.sa_v_proj(state)))

    def to_memory(self, state: Tensor, query: Anchor, memory: Memory) -> Tensor:
        """Cross-attention branch (B,Q,D); every head compares content and position, concatenated."""
        attention = self.cross_attn
        content, key_content = self.ca_qcontent_proj(state), self.ca_kcontent_proj(memory.frames)
        sine, key_position = self.ca_qpos_sine_proj(query.sine), self.ca_kpos_proj(memory.position)
        if self.first:
            content, key_content = content + self.ca_qpos_proj(query.position), key_content + key_position
        queries = torch.cat([attention.split(content), attention.split(sine)], -1)
        keys = torch.cat([attention.split(key_content), attention.split(key_position)], -1)
        weights = attention.weights(queries, keys, memory.mask[:, None, None, :])
        values = attention.split(self.ca_v_proj(memory.frames))
        return attention.gather(attention.dropout(weights), values)


class Decoder(nn.Module):
    """Anchors refined layer by layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.layers = nn.ModuleList(
            DecoderLayer(config, first=index == 0) for index in range(config.decoder_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.query_scale = MLP(width, width, width, 2)
        self.ref_point_head = MLP(width, width, width, 2)
        self.ref_anchor_head = MLP(width, width, 1, 2)
        self.bbox_embed = MLP(width, width, 2, 3)

    def forward(self, anchors: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """anchors (B,Q,2) -> states (N,B,Q,D) and references (N,B,Q,2)."""
        state = torch.zeros(*anchors.shape[:2], memory.frames.shape[-1])
        states, references = [], [anchors]
        for index, layer in enumerate(self.layers):
            state = layer(state, self.anchor(anchors, state, first=index == 0), memory)
            refined = (self.bbox_embed(state) + inverse_sigmoid(anchors)).sigmoid()
            states.append(self.norm(state))
            references.append(refined)
            anchors = refined.detach()
        return torch.stack(states), torch.stack(references[:-1])

    def anchor(self, anchors: Tensor, state: Tensor, *, first: bool) -> Anchor:
        """Code the anchors; the sine code is scaled by a predicted width over the anchor's."""
        sine = anchor_sine(anchors, state.shape[-1])
        position = self.ref_point_head(sine)
        scale = torch.ones(()) if first else self.query_scale(state)
        ratio = self.ref_anchor_head(state).sigmoid() / anchors[..., 1:]
        return Anchor(position, sine * scale * ratio)


def inverse_sigmoid(x: Tensor) -> Tensor:
    """Logit of x clamped to [0, 1], each side at least 1e-3."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=1e-3) / (1 - x).clamp(min=1e-3))


def sine_code(angles: Tensor, width: int) -> Tensor:
    """angles (...) -> (...,width): sine on even channels, cosine on odd ones."""
    channel = torch.arange(width)
    scaled = angles[..., None] / 10000 ** (2 * (channel // 2) / width)
    return torch.where(channel % 2 == 0, scaled.sin(), scaled.cos())


def frame_sine(mask: Tensor, width: int) -> Tensor:
    """Code the position of each frame of (B,T) as a fraction of the real frames."""
    count = mask.float().cumsum(-1)
    return sine_code(count / (count[:, -1:] + 1e-6) * 2 * math.pi, width)


def anchor_sine(anchors: Tensor, width: int) -> Tensor:
    """(B,Q,2) -> (B,Q,width): the centre's code, then the width's."""
    return sine_code(anchors * 2 * math.pi, width // 2).flatten(-2)
