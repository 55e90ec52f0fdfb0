"""The audio side of M2D-CLAP: a ViT on patches of a log-mel spectrogram, with a semantic token on top.

Modules have the names of the published weights (nttcslab/m2d, release v0.5.0).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from amrbench_plugins.backends.mel import power_spectrum, slaney_filters

RATE = 16_000
BANDS = 80
_FFT, _HOP = 400, 160
_LOW, _HIGH = 50.0, 8000.0
_FLOOR = 1.1920929e-07
"""Added before the logarithm: the smallest step of float32 at one."""


@dataclass(frozen=True)
class Config:
    """Sizes of the audio side."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    patch: int = 16
    positions: int = 310
    """Patches with a position embedding: 5 rows of frequency times 62 columns of time."""
    semantic_depth: int = 1
    semantic_mlp: int = 768


class LogMel(nn.Module):
    """Natural log of 80 mel energies, 100 frames a second."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(_FFT), persistent=False)
        filters = slaney_filters(RATE, _FFT, BANDS, low=_LOW, high=_HIGH)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return (B, 1 + samples // 160, 80) for waveforms (B, samples) at 16 kHz."""
        power = power_spectrum(waveforms, window=self.window, hop=_HOP)
        return (power @ self.filters + _FLOOR).log()


class Attention(nn.Module):
    """Self-attention with one projection for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        batch, count, width = x.shape
        split = self.qkv(x).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(batch, count, width))  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """Two layers with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        return self.fc2(functional.gelu(self.fc1(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A transformer layer that normalises before each of its two parts."""

    def __init__(self, width: int, heads: int, hidden: int, *, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps)
        self.mlp = Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class PatchEmbed(nn.Module):
    """Square patches of a spectrogram as rows."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, patch, patch)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (B, bands, frames) to (B, D, rows of frequency, columns of time), whole patches only."""
        return self.proj(spectrogram[:, None])  # type: ignore[no-any-return]


class SemanticPooling(nn.Module):
    """A learned token that pools the patches into the space that is shared with text."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.sem_token = nn.Parameter(torch.zeros(1, 1, width))
        self.sem_blocks = nn.ModuleList(
            Block(width, 1, config.semantic_mlp, eps=1e-5) for _ in range(config.semantic_depth)
        )
        self.norm = nn.LayerNorm(width, 1e-5)

    def forward(self, patches: Tensor) -> Tensor:
        """Map (B, N, D) to (B, D)."""
        x = torch.cat([self.sem_token.expand(len(patches), -1, -1), patches], 1)
        for block in self.sem_blocks:
            x = block(x)
        return self.norm(x)[:, 0]  # type: ignore[no-any-return]


class AudioEncoder(nn.Module):
    """Waveforms to one row each."""

    norm_stats: Tensor
    """(2,) mean and standard deviation of log-mel values."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.front_end = LogMel()
        self.register_buffer("norm_stats", torch.tensor([-7.1, 4.2]))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.positions, config.width))
        self.patch_embed = PatchEmbed(config.width, config.patch)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.mlp, eps=1e-6) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, 1e-6)
        self.audio_proj = SemanticPooling(config)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Map waveforms (B, samples) at 16 kHz, of at most ten seconds, to (B, D)."""
        mean, deviation = self.norm_stats
        spectrogram = ((self.front_end(waveforms) - mean) / deviation).transpose(1, 2)
        x = self.with_positions(self.patch_embed(spectrogram))
        for block in self.blocks:
            x = block(x)
        return self.audio_proj(self.norm(x)[:, 1:])  # type: ignore[no-any-return]

    def with_positions(self, patches: Tensor) -> Tensor:
        """Map (B, D, rows, columns) to tokens with positions (B, 1 + rows * columns, D), row after row.

        Shorter audio uses the first columns of each row of the position table.
        """
        rows, columns = patches.shape[2:]
        table = self.pos_embed[:, 1:].reshape(1, rows, -1, patches.shape[1])[:, :, :columns].flatten(1, 2)
        tokens = patches.flatten(2).transpose(1, 2) + table
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        return torch.cat([first, tokens], 1)
