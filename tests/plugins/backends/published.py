"""Random weights in the layout of published files, with small sizes."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import torch
from torch import Tensor

from amrbench_plugins.backends.m2d_clap import bert, vit

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "dog",
    "bark",
    "##s",
    "##ing",
    "rain",
    "!",
    "une",
    "bete",
    "雨",
]
M2D_AUDIO = vit.Sizes(width=64, depth=2, heads=1, mlp=96, places=310, semantic_mlp=64)
M2D_TEXT = bert.Sizes(width=64, depth=2, heads=1, mlp=96, vocabulary=len(WORDS), longest=12)


def random(shapes: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Return tensors of the same shapes with other numbers."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(each.shape, generator=generator)
        / max(1, each.shape[-1] if each.dim() else 1) ** 0.5
        for name, each in shapes.items()
    }


def m2d_weights(seed: int = 0) -> dict[str, Tensor]:
    audio = random(vit.AudioEncoder(M2D_AUDIO).state_dict(), seed)
    audio["norm_stats"] = torch.tensor([-7.261779, 4.351151])
    text = random(bert.Bert(M2D_TEXT).state_dict(), seed + 1)
    pooler = {"pooler.dense.weight": torch.zeros(64, 64), "pooler.dense.bias": torch.zeros(64)}
    return {
        **{f"backbone.{name}": each for name, each in audio.items()},
        **{f"text_encoder.text_encoder.{name}": each for name, each in (text | pooler).items()},
    }


def m2d_files(folder: Path, weights: dict[str, Tensor] | None = None) -> tuple[Path, Path]:
    """Write weights and vocabulary, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    file, vocabulary = folder / "checkpoint-30.pth", folder / "vocab.txt"
    torch.save({"model": m2d_weights() if weights is None else weights, "args": Namespace(lr=0.1)}, file)
    vocabulary.write_text("\n".join(WORDS) + "\n", "utf-8")
    return file, vocabulary
