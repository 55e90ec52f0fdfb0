"""The audio side of MS-CLAP 2023: HTSAT (Chen et al. 2022), a Swin transformer on a folded spectrogram.

Modules have the names of the published weights. The kernels of the spectrogram and the mel filters are
weights of the file too: they were made for 32 kHz and are used on 44.1 kHz audio, so computing them anew
would give other features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

RATE = 44_100
_HOP = 320
_FLOOR = 1e-10
_WINDOW = 8
_IMAGE = 256
"""Height and width of the image that the transformer reads."""
_PATCH = 4


@dataclass(frozen=True)
class Config:
    """Sizes of the audio side."""

    width: int = 96
    """Of the first stage; each further stage is twice as wide."""
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    bands: int = 64
    fft: int = 1024

    @property
    def out(self) -> int:
        """Return the width of the last stage."""
        return self.width << (len(self.depths) - 1)


class Spectrogram(nn.Module):
    """Power spectrum as two convolutions with stored kernels."""

    def __init__(self, fft: int) -> None:
        super().__init__()
        bins = fft // 2 + 1
        self.stft = nn.ModuleDict(
            {part: nn.Conv1d(1, bins, fft, _HOP, bias=False) for part in ("conv_real", "conv_imag")}
        )
        self.padding = fft // 2

    def forward(self, waveforms: Tensor) -> Tensor:
        """Map (B, samples) to (B, frames, bins)."""
        padded = functional.pad(waveforms[:, None], (self.padding, self.padding), mode="reflect")
        real, imaginary = self.stft["conv_real"](padded), self.stft["conv_imag"](padded)
        power: Tensor = real.square() + imaginary.square()
        return power.transpose(1, 2)


class LogMel(nn.Module):
    """Decibels of mel energies."""

    def __init__(self, bins: int, bands: int) -> None:
        super().__init__()
        self.melW = nn.Parameter(torch.zeros(bins, bands))

    def forward(self, power: Tensor) -> Tensor:
        """Map (B, frames, bins) to (B, frames, bands)."""
        return 10 * (power @ self.melW).clamp(min=_FLOOR).log10()


class PatchEmbed(nn.Module):
    """Patches of four by four pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, _PATCH, _PATCH)
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, H / 4, W / 4, D)."""
        return self.norm(self.proj(image).permute(0, 2, 3, 1))  # type: ignore[no-any-return]


class WindowAttention(nn.Module):
    """Self-attention inside windows, with a bias for each relative position."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * _WINDOW - 1) ** 2, heads))
        index = relative_position_index(_WINDOW)
        self.register_buffer("relative_position_index", index, persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Map windows (N, 64, D) to the same; `mask` (windows of an image, 64, 64) is added to logits."""
        count, size, width = x.shape
        query, key, value = self.qkv(x).reshape(count, size, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)[None]
        if mask is not None:
            bias = (bias + mask[:, None]).repeat(count // len(mask), 1, 1, 1)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(mixed.transpose(1, 2).reshape(count, size, width))  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """Two layers with GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        return self.fc2(functional.gelu(self.fc1(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A Swin layer; in every second one the windows are shifted by half their size."""

    mask: Tensor | None

    def __init__(self, width: int, heads: int, grid: int, *, shifted: bool) -> None:
        super().__init__()
        self.shift = _WINDOW // 2 if shifted and grid > _WINDOW else 0
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)
        mask = shift_mask(grid, _WINDOW, self.shift) if self.shift else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, D) to the same."""
        shifted = torch.roll(self.norm1(x), (-self.shift, -self.shift), (1, 2))
        attended = self.attn(split_windows(shifted, _WINDOW), self.mask)
        merged = merge_windows(attended, x.shape[1], _WINDOW)
        x = x + torch.roll(merged, (self.shift, self.shift), (1, 2))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class PatchMerging(nn.Module):
    """Merges two by two neighbours into one row, twice as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, D) to (B, H / 2, W / 2, 2 D)."""
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, -1)))  # type: ignore[no-any-return]


class Stage(nn.Module):
    """Layers of one width, and the step to the next."""

    def __init__(self, width: int, depth: int, heads: int, *, grid: int, last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(width, heads, grid, shifted=number % 2 == 1) for number in range(depth)
        )
        self.downsample = None if last else PatchMerging(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, D) to (B, H / 2, W / 2, 2 D), or to the same shape in the last stage."""
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class Htsat(nn.Module):
    """Waveforms of about a second to one row each: the pooled latent before CLAP's projection."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.spectrogram_extractor = Spectrogram(config.fft)
        self.logmel_extractor = LogMel(config.fft // 2 + 1, config.bands)
        self.bn0 = nn.BatchNorm2d(config.bands)
        self.patch_embed = PatchEmbed(config.width)
        grids = [_IMAGE // _PATCH // 2**number for number in range(len(config.depths))]
        self.layers = nn.ModuleList(
            Stage(config.width * 2**number, depth, heads, grid=grid, last=number == len(grids) - 1)
            for number, (depth, heads, grid) in enumerate(
                zip(config.depths, config.heads, grids, strict=True)
            )
        )
        self.norm = nn.LayerNorm(config.out)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Map (B, samples) at 44.1 kHz to (B, D)."""
        log_mel = self.logmel_extractor(self.spectrogram_extractor(waveforms))
        x = self.patch_embed(self.image(log_mel))
        for layer in self.layers:
            x = layer(x)
        return self.norm(x).mean((1, 2))  # type: ignore[no-any-return]

    def image(self, log_mel: Tensor) -> Tensor:
        """Map (B, frames, bands) to (B, 1, 256, 256): stretched in time, cut into four parts, stacked."""
        x = self.bn0(log_mel.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
        bands = x.shape[2]
        folds = _IMAGE // bands
        x = functional.interpolate(x[:, None], (folds * _IMAGE, bands), mode="bicubic", align_corners=True)
        return x.transpose(2, 3).reshape(len(x), 1, bands, folds, _IMAGE).transpose(2, 3).flatten(2, 3)


def split_windows(x: Tensor, size: int) -> Tensor:
    """Map (B, H, W, D) to (B * windows, size * size, D)."""
    batch, height, width, depth = x.shape
    split = x.reshape(batch, height // size, size, width // size, size, depth)
    return split.transpose(2, 3).reshape(-1, size * size, depth)


def merge_windows(x: Tensor, height: int, size: int) -> Tensor:
    """Undo `split_windows` for square images."""
    count = height // size
    split = x.reshape(-1, count, count, size, size, x.shape[-1])
    return split.transpose(2, 3).reshape(-1, height, height, x.shape[-1])


def relative_position_index(size: int) -> Tensor:
    """Return (size * size, size * size): the row of the bias table for each pair of positions of a window."""
    position = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")).flatten(1)
    offset = position[:, :, None] - position[:, None] + size - 1  # in 0 to 2 * size - 2
    return offset[0] * (2 * size - 1) + offset[1]


def shift_mask(grid: int, size: int, shift: int) -> Tensor:
    """Return (windows, size * size, size * size): -100 where only the shift joined two positions."""
    edges = torch.tensor([0] * (grid - size) + [1] * (size - shift) + [2] * shift)
    regions = (3 * edges[:, None] + edges)[None, :, :, None].float()
    region = split_windows(regions, size)[..., 0]  # (windows, size * size)
    return (region[:, None] != region[:, :, None]).float() * -100.0
