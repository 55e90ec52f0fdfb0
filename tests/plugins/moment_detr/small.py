"""The example of moment-detr as a small model for tests, whose options can be exchanged."""

from __future__ import annotations

from typing import Any

import torch

from amrbench.registry import Registry
from amrbench.types import Batch, BuildContext, FeatureWidths
from amrbench_plugins import moment_detr
from amrbench_plugins.moment_detr.model import MomentDetr

REGISTRY = Registry.of(*moment_detr.amrbench_parts())
WIDTHS = FeatureWidths(audio=12, text=10)
OPTIONS = MomentDetr.example


def part(registry: Registry = REGISTRY, **changed: Any) -> Any:
    """Return the part with other options."""
    return MomentDetr.model_validate({**OPTIONS, **changed}, context=registry)


def model(seed: int = 0, registry: Registry = REGISTRY, **changed: Any) -> Any:
    """Return the model in evaluation mode."""
    return part(registry, **changed).build(BuildContext(WIDTHS, seed=seed)).eval()


def batch(frames: tuple[int, ...] = (9, 6, 9), words: tuple[int, ...] = (4, 1, 3)) -> Batch:
    """Return a batch of one sample for each pair of lengths; the last two have the same recording."""
    audio_mask = torch.arange(max(frames)) < torch.tensor(frames)[:, None]
    text_mask = torch.arange(max(words)) < torch.tensor(words)[:, None]
    torch.manual_seed(5)
    return Batch(
        audio=torch.randn(*audio_mask.shape, WIDTHS.audio) * audio_mask[..., None],
        audio_mask=audio_mask,
        text=torch.randn(*text_mask.shape, WIDTHS.text) * text_mask[..., None],
        text_mask=text_mask,
        recording=torch.tensor([*range(len(frames) - 1), max(0, len(frames) - 2)]),
    )
