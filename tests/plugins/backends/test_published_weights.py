"""Loading the tensors of a published file into a module."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from amrbench.errors import CheckpointError
from amrbench_plugins.backends.published_weights import (
    axis_size,
    count_numbered,
    load_published_weights,
    read_safetensors,
    tensors_below,
)

FILE = Path("weights.pth")


def tensors(**changed: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"weight": torch.ones(2, 3), "bias": torch.ones(2)} | changed


def test_weights_are_loaded_in_float32_and_frozen():
    module = load_published_weights(nn.Linear(3, 2), tensors(weight=torch.full((2, 3), 0.5).half()), FILE)
    assert module.weight.tolist() == [[0.5] * 3] * 2
    assert module.weight.dtype == torch.float32
    assert not module.training
    assert not any(weight.requires_grad for weight in module.parameters())


def refusal(given: dict[str, torch.Tensor]) -> str:
    with pytest.raises(CheckpointError) as error:
        load_published_weights(nn.Linear(3, 2), given, FILE, unused=("pooler",))
    return str(error.value)


def test_missing_unknown_and_misshapen_tensors_are_refused():
    other = {"weight": torch.ones(2, 3), "scale": torch.ones(2), "a.pooler": torch.ones(2)}
    assert refusal(other) == (
        "weights.pth: not the weights that this encoder reads: without 'bias' and with 'scale'. "
        "Get the published file."
    )
    assert refusal(tensors(bias=torch.ones(3))) == (
        "weights.pth: 'bias' has shape (3,), not (2,). Get the published file."
    )


def test_sizes_are_read_from_names_and_shapes():
    named = {"blocks.0.bias": torch.ones(2), "blocks.1.bias": torch.ones(2), "blocks.norm": torch.ones(4)}
    assert count_numbered(named, "blocks.") == 2
    assert list(tensors_below(named, "blocks.1.")) == ["bias"]
    assert axis_size({"a": torch.ones(2, 3)}, "a", FILE, axis=1) == 3
    for name, axis in (("b", 0), ("a", 2)):
        with pytest.raises(CheckpointError, match=f"without '{name}'"):
            axis_size({"a": torch.ones(2, 3)}, name, FILE, axis=axis)


def test_a_damaged_file_of_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.tensor([1.0, 2.0])}, path)
    assert read_safetensors(path)["a"].tolist() == [1, 2]
    save_file({"a": torch.tensor([1.0, torch.nan])}, path)
    with pytest.raises(CheckpointError) as error:
        read_safetensors(path)
    assert str(error.value) == f"{path}: 'a' holds values that are not finite. Get the published file."
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r": not weights as safetensors, or truncated \(.*Get the publ"):
        read_safetensors(path)
