"""The text side of MS-CLAP 2023: GPT-2 (Radford et al. 2019) with the names of its published weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Sizes:
    """Sizes of the text side."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    vocabulary: int = 50_257
    longest: int = 1024


class Affine(nn.Module):
    """A linear layer whose weight is stored as (in, out)."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inner, outer))
        self.bias = nn.Parameter(torch.zeros(outer))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return x @ self.weight + self.bias


class Attention(nn.Module):
    """Self-attention to what came before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn = Affine(width, 3 * width)
        self.c_proj = Affine(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D)."""
        query, key, value = (
            each.unflatten(2, (self.heads, -1)).transpose(1, 2) for each in self.c_attn(x).chunk(3, 2)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        found: Tensor = self.c_proj(mixed.transpose(1, 2).flatten(2))
        return found


class Mlp(nn.Module):
    """Two layers with the tanh form of GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = Affine(width, 4 * width)
        self.c_proj = Affine(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        found: Tensor = self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh"))
        return found


class Block(nn.Module):
    """A transformer layer that normalises before each of its two parts."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(sizes.width)
        self.attn = Attention(sizes.width, sizes.heads)
        self.ln_2 = nn.LayerNorm(sizes.width)
        self.mlp = Mlp(sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D)."""
        x = x + self.attn(self.ln_1(x))
        found: Tensor = x + self.mlp(self.ln_2(x))
        return found


class Gpt2(nn.Module):
    """Token ids to hidden states."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.wte = nn.Embedding(sizes.vocabulary, sizes.width)
        self.wpe = nn.Embedding(sizes.longest, sizes.width)
        self.h = nn.ModuleList(Block(sizes) for _ in range(sizes.depth))
        self.ln_f = nn.LayerNorm(sizes.width)

    def forward(self, ids: Tensor) -> Tensor:
        """Map token ids (B, L) without padding to (B, L, D)."""
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        found: Tensor = self.ln_f(x)
        return found
