"""Made-up batches of all kinds for the losses and the matcher of CG-DETR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from amrbench.types import Outcome
from tests.oracle.cgdetr import Inputs
from tests.oracle.cgdetr_loss import Targets
from tests.plugins.cgdetr import golden
from tests.plugins.cgdetr.golden import Ours

KINDS: Mapping[str, dict[str, Any]] = {
    "plain": {"frames": (12, 9, 5, 12), "words": (6, 1, 4, 3), "windows": (1, 1, 1, 1), "audio": "abcd"},
    "many windows": {"frames": (12, 9, 7), "words": (3, 2, 5), "windows": (3, 8, 1), "audio": "abc"},
    "one recording": {"frames": (8, 8), "words": (2, 3), "windows": (2, 1), "audio": "aa"},
    "pairs": {"frames": (8, 8, 6, 6), "words": (2, 3, 1, 4), "windows": (2, 1, 1, 3), "audio": "aabb"},
    "alone": {"frames": (10,), "words": (1,), "windows": (2,), "audio": "a"},
    "short": {"frames": (2, 3), "words": (1, 1), "windows": (1, 1), "audio": "ab"},
}


def made_up(kind: str) -> tuple[Inputs, Targets]:
    """Return a batch of the sizes of the golden cases, and its ground truth."""
    torch.manual_seed(list(KINDS).index(kind))
    shape = KINDS[kind]
    frames, words = torch.tensor(shape["frames"]), torch.tensor(shape["words"])
    audio_mask = torch.arange(int(frames.max())) < frames[:, None]
    text_mask = torch.arange(int(words.max())) < words[:, None]
    start = torch.arange(audio_mask.shape[1])[None] / frames[:, None]
    temporal = torch.stack([start, start + 1 / frames[:, None]], -1) * audio_mask[..., None]
    labels = torch.zeros(audio_mask.shape)
    labels[:, 0] = 1
    labels[:, 1] = (frames > 4).float()
    inputs = Inputs(
        text=torch.randn(*text_mask.shape, 20) * text_mask[..., None],
        text_mask=text_mask,
        temporal=temporal,
        audio=torch.randn(*audio_mask.shape, 24) * audio_mask[..., None],
        audio_mask=audio_mask,
        recordings=list(shape["audio"]),
    )
    spans = [torch.rand(count, 2) * 0.5 + 0.1 for count in shape["windows"]]
    inside = torch.zeros(len(frames), 2, dtype=torch.long)
    return inputs, Targets(spans, labels, inside, torch.stack([frames - 1, frames - 1], 1))


def outcome(model: Ours, inputs: Inputs, targets: Targets) -> Outcome:
    return golden.outcome_of(golden.run(model.model, inputs), golden.target_of(targets))
