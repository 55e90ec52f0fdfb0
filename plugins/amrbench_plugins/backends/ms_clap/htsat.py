"""The audio side of MS-CLAP 2023: HTSAT (Chen et al. 2022), a Swin transformer on a folded log-mel picture.

Names of modules are those of the published weights. The kernels of the spectrogram and the mel filters are
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
_PICTURE = 256
"""Height and width of the picture that the transformer sees."""
_PATCH = 4


@dataclass(frozen=True)
class Sizes:
    """Sizes of the audio side."""

    width: int = 96
    """Of the first stage; each further one is twice as wide."""
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
        self.reach = fft // 2

    def forward(self, waveforms: Tensor) -> Tensor:
        """Map (B, samples) to (B, frames, bins)."""
        padded = functional.pad(waveforms[:, None], (self.reach, self.reach), mode="reflect")
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
    """Patches of four by four."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, _PATCH, _PATCH)
        self.norm = nn.LayerNorm(width)

    def forward(self, picture: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, H / 4, W / 4, D)."""
        found: Tensor = self.norm(self.proj(picture).permute(0, 2, 3, 1))
        return found


class WindowAttention(nn.Module):
    """Self-attention inside windows, with a bias for each relative place."""

    places: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * _WINDOW - 1) ** 2, heads))
        self.register_buffer("places", relative_places(_WINDOW), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Map windows (N, 64, D) to the same; `mask` (windows of a picture, 64, 64) is added to logits."""
        count, size, width = x.shape
        query, key, value = self.qkv(x).reshape(count, size, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.places].permute(2, 0, 1)[None]
        if mask is not None:
            bias = (bias + mask[:, None]).repeat(count // len(mask), 1, 1, 1)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        found: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, size, width))
        return found


class Mlp(nn.Module):
    """Two layers with GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        found: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return found


class Block(nn.Module):
    """A Swin layer; every second one sees windows that are shifted by half their size."""

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
        moved = torch.roll(self.norm1(x), (-self.shift, -self.shift), (1, 2))
        heard = joined(self.attn(windows(moved, _WINDOW), self.mask), x.shape[1], _WINDOW)
        x = x + torch.roll(heard, (self.shift, self.shift), (1, 2))
        found: Tensor = x + self.mlp(self.norm2(x))
        return found


class PatchMerging(nn.Module):
    """Four neighbours become one place, twice as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, D) to (B, H / 2, W / 2, 2 D)."""
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        found: Tensor = self.reduction(self.norm(torch.cat(corners, -1)))
        return found


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

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.spectrogram_extractor = Spectrogram(sizes.fft)
        self.logmel_extractor = LogMel(sizes.fft // 2 + 1, sizes.bands)
        self.bn0 = nn.BatchNorm2d(sizes.bands)
        self.patch_embed = PatchEmbed(sizes.width)
        grids = [_PICTURE // _PATCH // 2**number for number in range(len(sizes.depths))]
        self.layers = nn.ModuleList(
            Stage(sizes.width * 2**number, depth, heads, grid=grid, last=number == len(grids) - 1)
            for number, (depth, heads, grid) in enumerate(zip(sizes.depths, sizes.heads, grids, strict=True))
        )
        self.norm = nn.LayerNorm(sizes.out)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Map (B, samples) at 44.1 kHz to (B, D)."""
        log_mel = self.logmel_extractor(self.spectrogram_extractor(waveforms))
        x = self.patch_embed(self.picture(log_mel))
        for layer in self.layers:
            x = layer(x)
        found: Tensor = self.norm(x).mean((1, 2))
        return found

    def picture(self, log_mel: Tensor) -> Tensor:
        """Map (B, frames, bands) to (B, 1, 256, 256): stretched in time, cut in four, one below the other."""
        x = self.bn0(log_mel.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
        bands = x.shape[2]
        folds = _PICTURE // bands
        x = functional.interpolate(x[:, None], (folds * _PICTURE, bands), mode="bicubic", align_corners=True)
        return x.transpose(2, 3).reshape(len(x), 1, bands, folds, _PICTURE).transpose(2, 3).flatten(2, 3)


def windows(x: Tensor, size: int) -> Tensor:
    """Map (B, H, W, D) to (B * windows, size * size, D)."""
    batch, height, width, depth = x.shape
    split = x.reshape(batch, height // size, size, width // size, size, depth)
    return split.transpose(2, 3).reshape(-1, size * size, depth)


def joined(x: Tensor, height: int, size: int) -> Tensor:
    """Undo `windows` for square pictures."""
    count = height // size
    split = x.reshape(-1, count, count, size, size, x.shape[-1])
    return split.transpose(2, 3).reshape(-1, height, height, x.shape[-1])


def relative_places(size: int) -> Tensor:
    """Return (size * size, size * size) rows of the table of biases, by how far two places lie apart."""
    at = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")).flatten(1)
    apart = at[:, :, None] - at[:, None] + size - 1
    return apart[0] * (2 * size - 1) + apart[1]


def shift_mask(grid: int, size: int, shift: int) -> Tensor:
    """Return (windows, size * size, size * size): -100 between places that are apart before the shift."""
    edges = torch.tensor([0] * (grid - size) + [1] * (size - shift) + [2] * shift)
    regions = (3 * edges[:, None] + edges)[None, :, :, None].float()
    inside = windows(regions, size)[..., 0]
    return (inside[:, None] != inside[:, :, None]).float() * -100.0
