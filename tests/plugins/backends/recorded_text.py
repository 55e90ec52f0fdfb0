"""Tokens and hidden states that our own BERT, GPT-2 and tokenizers gave before libraries replaced them.

Weights are random numbers that depend on the name of their tensor alone.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from tests.folders import DATA

FOLDER = DATA / "text_encoders"
RECORDED = json.loads((FOLDER / "tokens.json").read_text())
TEXTS = RECORDED["texts"]


def weights_by_name(shapes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return random tensors; those of one name and shape are always the same."""
    weights = {}
    for name, tensor in shapes.items():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        scale = max(1, tensor.shape[-1] if tensor.dim() else 1) ** 0.5
        weights[name] = torch.randn(tensor.shape, generator=generator) / scale
    return weights


def assert_states_are_recorded(encoder, name: str) -> None:
    """Compare the states of all texts with the recorded ones."""
    with np.load(FOLDER / "states.npz") as recorded:
        for index, text in enumerate(TEXTS):
            np.testing.assert_allclose(
                encoder.states(text).numpy(), recorded[f"{name} {index}"], atol=1e-5, err_msg=repr(text)
            )
